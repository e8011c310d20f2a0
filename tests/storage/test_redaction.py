from __future__ import annotations

import base64

import pytest

from synthcxr.storage.redaction import redact_credentials, strip_userinfo


@pytest.mark.parametrize(
    "address",
    [
        "http://user:hunter22@host:5000/path",
        "https://user:hunter22@host.invalid",
        "http://user:hunter22@host:port",
        "foo+bar://user:hunter22@host",
        "postgresql://user:hunter22@host/db",
        "postgresql://user:p@hunter22@host/db",
        "postgresql://user:p/hunter22@host/db",
        "http://user:p#hunter22@host",
        "http://user:p?hunter22@host",
        "http://hunter22@host",
        "http://:hunter22@[::1]:5000",
        "http://host/path?token=hunter22&x=1",
        "s3://bucket?x=1&AWS_SECRET_ACCESS_KEY=hunter22",
        "https://host/blob?sv=1&sig=hunter22",
    ],
)
def test_credentials_of_an_address_are_removed(address: str) -> None:
    """User, password and secret query parameters of a URI do not stay in a text, whatever surrounds it."""
    for text in (address, f"error in '{address}', try again", f'{{"uri": "{address}"}}'):
        assert "hunter22" not in redact_credentials(text)
    assert "hunter22" not in strip_userinfo(address)


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/api: models:/synthcxr-generator@champion",
        "http://host:5000/models/x@champion",
        "http://[::1]:5000/models/x@champion",
        "sqlite:////data/registry/mlflow.db",
        "data/a@b.png: broken; see https://example.org/?page=2",
    ],
)
def test_other_text_stays(text: str) -> None:
    """Addresses without credentials, aliases and paths are not changed."""
    assert redact_credentials(text) == text


def test_a_password_is_removed_outside_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library or a server may repeat a password without its URI, decoded, or as an authorization header."""
    address = "http://user:hunter%2322@host"
    encoded = base64.b64encode(b"user:hunter#22").decode()
    text = f"rejected 'hunter#22' (hunter%2322), Authorization: Basic {encoded}, echo {encoded}"
    for redacted in (redact_credentials(text, address),):
        assert not any(secret in redacted for secret in ("hunter", encoded))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "opensesame")
    redacted = redact_credentials(f"{text} opensesame")
    assert not any(secret in redacted for secret in ("hunter", encoded, "opensesame"))


def test_a_password_that_is_a_word_of_our_messages_is_removed_from_addresses_only() -> None:
    """A common default password does not make the command in a message unreadable."""
    text = "run `mlflow db upgrade postgresql://mlflow:mlflow@host/mlflow`"
    redacted = redact_credentials(text, "postgresql://mlflow:mlflow@host/mlflow")
    assert redacted == "run `mlflow db upgrade postgresql://***@host/mlflow`"
