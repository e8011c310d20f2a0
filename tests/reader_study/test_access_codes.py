"""Access codes are random, tolerant of how they are typed, and limited in wrong attempts."""

from __future__ import annotations

from synthcxr.reader_study.access_codes import FailedAttempts, compute_code_digest, create_access_code


def test_codes_are_random_and_tolerant() -> None:
    """A code has 16 characters (79 bits). Capitals, spaces and missing dashes do not change its digest."""
    codes = {create_access_code() for _ in range(200)}
    assert len(codes) == 200
    code = codes.pop()
    assert len(code.replace("-", "")) == 16
    assert compute_code_digest(code) == compute_code_digest(f" {code.upper().replace('-', ' ')} ")
    assert compute_code_digest(code) != compute_code_digest(code[:-1])


def test_wrong_codes_make_an_address_wait() -> None:
    """After ten wrong codes an address waits five minutes, others do not; the number of stored addresses is limited."""
    now = [0.0]
    attempts = FailedAttempts(lambda: now[0])
    for _ in range(FailedAttempts.MAX_FAILURES):
        assert attempts.compute_wait_s("a") == 0
        attempts.record("a")
    assert attempts.compute_wait_s("a") == 300
    assert attempts.compute_wait_s("b") == 0
    now[0] = 301.0
    assert attempts.compute_wait_s("a") == 0
    for index in range(FailedAttempts.MAX_ADDRESSES + 50):
        attempts.record(str(index))
    assert len(attempts._failures) == FailedAttempts.MAX_ADDRESSES
