"""Compressed DICOM films are decoded in worker processes: whatever a decoder does, it costs one film."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless
from support.dicom_files import build_film, draw_12_bit_phantom, write_film

from synthcxr.config.schema import SplitShares
from synthcxr.data import pixel_budget, pyramid
from synthcxr.data.film_dataset import build_film_dataset
from synthcxr.data.patient_split import split_patients
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import dicom, dicom_decoding, dicom_pixels, dicom_worker

OPTIONS = dicom_worker.Options(
    rows=4,
    columns=4,
    bits_allocated=16,
    bits_stored=12,
    pixel_representation=0,
    photometric_interpretation="MONOCHROME2",
    samples_per_pixel=1,
    number_of_frames=1,
)
NAME_OF_WORKER_FOLDER = str(Path(dicom_worker.__file__).parent)


@pytest.fixture(autouse=True)
def _new_workers() -> Iterator[None]:
    """Each test starts its own workers."""
    dicom_decoding.DECODERS.close()
    yield
    dicom_decoding.DECODERS.close()


@pytest.fixture
def replace_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a JPEG-LS decoder with this body first on the import path, and removes GDCM's."""

    def replace(body: str) -> None:
        folder = tmp_path / "stand-in"
        folder.mkdir()
        (folder / "gdcm.py").write_text("raise ImportError\n")
        function = "def decode_pixel_data(data):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        (folder / "jpeg_ls.py").write_text(f"import os, signal, time\n__version__ = '1.5.1'\n{function}\n")
        monkeypatch.syspath_prepend(folder)

    return replace


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A good film in JPEG-LS."""
    return write_film(build_film(draw_12_bit_phantom(3), compress=JPEGLSLossless), tmp_path / "film.dcm")


def list_worker_pids() -> list[int]:
    return [worker._process.pid for worker in dicom_decoding.DECODERS._idle]


STAND_INS = {
    "aborts": ("os.abort()", "the decoder crashed: SIGABRT"),
    "segfaults": ("os.kill(os.getpid(), signal.SIGSEGV)", "the decoder crashed: SIGSEGV"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL, perhaps because memory ran out"),
    "exits": ("os._exit(3)", "the decoder ended with exit code 3"),
    "raises": ("raise ValueError('Doe')", "no decoder reads its JPEG-LS Lossless Image Compression data of 12 bits"),
    "too few values": (
        "return bytearray(32), {'components': 1, 'bits_per_sample': 16, 'interleave_mode': 0}",
        "not a readable DICOM film",
    ),
    "none": ("return None", "not a readable DICOM film"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("name", STAND_INS)
def test_a_failure_of_the_decoder_is_an_error_of_the_film(
    name: str, film: Path, replace_decoder: Callable[[str], None]
) -> None:
    """A decoder that crashes, exits, raises or returns something else is a one-line DataError with the path."""
    body, message = STAND_INS[name]
    replace_decoder(body)
    with pytest.raises(DataError, match=message) as caught:
        dicom_pixels.read_pixels(film)
    assert str(caught.value).startswith(f"{film}: ")
    assert not [text for text in ("\n", "Doe") if text in str(caught.value)]


def test_a_decoder_that_does_not_finish_is_stopped(
    film: Path, replace_decoder: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that sleeps for ever is a one-line DataError after the time limit, and its process has ended."""
    monkeypatch.setattr(dicom_decoding, "_LEAST_LIMIT_S", 1)
    replace_decoder("time.sleep(3600)")
    with pytest.raises(DataError, match=r"film\.dcm: .*the decoder did not finish within 1 s"):
        dicom_pixels.read_pixels(film)
    assert list_worker_pids() == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory on Linux only")
def test_the_memory_of_a_decoder_is_limited(film: Path, replace_decoder: Callable[[str], None]) -> None:
    """A decoder cannot allocate gigabytes for a small film."""
    replace_decoder("bytearray(2 << 30)\nreturn bytearray(2048), {'components': 1, 'bits_per_sample': 16}")
    with pytest.raises(DataError, match="no decoder reads"):
        dicom_pixels.read_pixels(film)


def test_what_a_decoder_prints_does_not_reach_the_pixels(film: Path, replace_decoder: Callable[[str], None]) -> None:
    """Text that a library writes to standard output is not part of the answer."""
    replace_decoder(
        """
        os.write(1, b"warning: 17")
        return bytearray(b"\\xff\\x0f" * 1024), {"components": 1, "bits_per_sample": 12}
        """
    )
    np.testing.assert_array_equal(dicom_pixels.read_pixels(film), np.ones((32, 32), dtype=np.float32))


def write_archive(root: Path) -> tuple[list[dicom.Film], Path]:
    """Write eight films in JPEG-LS, of which one states a precision at which GDCM's decoder aborts; return it too."""
    for index in range(8):
        pixels = (draw_12_bit_phantom(index) >> 4).astype(np.uint8)
        dataset = build_film(pixels, bits=8, compress=JPEGLSNearLossless, PatientID=f"P{index}")
        write_film(dataset, root / f"{index}.dcm")
    crashing = root / "3.dcm"
    content, frame_header = crashing.read_bytes(), b"\xff\xf7\x00\x0b"
    assert content.count(frame_header + b"\x08") == 1
    crashing.write_bytes(content.replace(frame_header + b"\x08", frame_header + b"\x18"))
    salt = root.with_suffix(".salt")
    salt.write_text("0123456789abcdef0123456789abcdef\n")
    return list(dicom.read_films(str(root), salt=str(salt))), crashing


def test_on_bad_decides_about_a_film_that_crashes_its_decoder(tmp_path: Path) -> None:
    """With skip, the film is named and the other films are packed; with error, it is the error."""
    films, crashing = write_archive(tmp_path / "archive")
    splits = split_patients(films, SplitShares(train=0.5, judge=0.0, val=0.0, test=0.5), 1)
    report = build_film_dataset(films, out=tmp_path / "packed", resolution=32, splits=splits, on_bad="skip")
    assert len(report.manifest) == 7
    assert [sentence.split(": ")[0] for sentence in report.unreadable] == [str(crashing)]
    with pytest.raises(DataError, match=r"3\.dcm: not a readable DICOM film .*set prepare\.on_bad: skip"):
        build_film_dataset(films, out=tmp_path / "stopped", resolution=32, splits=splits, on_bad="error")


def test_workers_are_started_when_needed_and_used_again(tmp_path: Path, film: Path) -> None:
    """An uncompressed film starts no worker; one worker decodes many films, also after one that cannot be decoded."""
    dicom_pixels.read_pixels(write_film(build_film(draw_12_bit_phantom(3)), tmp_path / "raw.dcm"))
    assert list_worker_pids() == []
    dicom_pixels.read_pixels(film)
    (pid,) = list_worker_pids()
    cut = tmp_path / "cut.dcm"
    dataset = build_film(draw_12_bit_phantom(3), compress=JPEGLSLossless)
    dataset.PixelData = dataset.PixelData[:16] + b"\0" * (len(dataset.PixelData) - 16)
    with pytest.raises(DataError):
        dicom_pixels.read_pixels(write_film(dataset, cut))
    dicom_pixels.read_pixels(film)
    assert list_worker_pids() == [pid]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_idle_worker_may_die_or_be_interrupted(film: Path) -> None:
    """Ctrl-C does not end a worker; an idle one that was killed is replaced, and costs no film."""
    expected = dicom_pixels.read_pixels(film)
    (pid,) = list_worker_pids()
    os.kill(pid, signal.SIGINT)
    np.testing.assert_array_equal(dicom_pixels.read_pixels(film), expected)
    assert list_worker_pids() == [pid]
    os.kill(pid, signal.SIGKILL)
    dicom_decoding.DECODERS._idle[0]._process.wait()
    np.testing.assert_array_equal(dicom_pixels.read_pixels(film), expected)
    assert list_worker_pids() != [pid]


def write_script(path: Path, *lines: str) -> Path:
    """Write a program that speaks the protocol of a worker, with `lines` after the request."""
    start = [
        "import sys",
        f"sys.path.insert(0, {NAME_OF_WORKER_FOLDER!r})",
        "from dicom_worker import ANSWER, READY, REQUEST",
        "answers, requests = sys.stdout.buffer, sys.stdin.buffer",
        "answers.write(ANSWER.pack(READY, 0)), answers.flush()",
        "requests.read(sum(REQUEST.unpack(requests.read(REQUEST.size))))",
    ]
    path.write_text("\n".join([*start, *lines]))
    return path


ANSWERS = {
    "truncated": ("answers.write(ANSWER.pack(b'u2', 32) + bytes(20))", "ended with exit code 0"),
    "no bytes": ("pass", "ended with exit code 0"),
    "half a header": ("answers.write(b'u2')", "ended with exit code 0"),
    "too many": ("answers.write(ANSWER.pack(b'u2', 1 << 60))", "returned 1,152,921,504,606,846,976 bytes for 4 x 4"),
    "too few": ("answers.write(ANSWER.pack(b'u2', 30) + bytes(30))", "returned 30 bytes for 4 x 4 pixels"),
    "no numbers": ("answers.write(ANSWER.pack(b'O8', 128) + bytes(128))", "returned 128 bytes for 4 x 4 pixels"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_wrong_answers_of_a_worker_are_decoding_errors(name: str, tmp_path: Path) -> None:
    """An answer that is cut, too long, too short or of another type gives no pixels; its worker is not used again."""
    line, message = ANSWERS[name]
    pool = dicom_decoding.DecoderPool(write_script(tmp_path / "worker.py", line))
    with pytest.raises(dicom_decoding.DecodingError, match=message):
        pool.decode(JPEGLSLossless, OPTIONS, b"data")
    assert pool._idle == []


def test_a_worker_that_cannot_start_ends_the_command(tmp_path: Path) -> None:
    """It is no error of a film, which `on_bad` could skip."""
    (tmp_path / "worker.py").write_text("raise SystemExit(4)")
    with pytest.raises(ConfigError, match=r"^cannot start a process that decodes DICOM films: .*exit code 4"):
        dicom_decoding.DecoderPool(tmp_path / "worker.py").decode(JPEGLSLossless, OPTIONS, b"data")


def test_the_pixel_budget_holds_over_processes(
    tmp_path: Path, film: Path, replace_decoder: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Films that do not fit into the budget together are not decoded at the same time."""
    monkeypatch.setattr(pixel_budget.DECODING, "max_pixels", 32 * 32)
    monkeypatch.setattr(pyramid, "count_usable_cores", lambda: 4)
    busy = tmp_path / "busy"
    replace_decoder(
        f"""
        os.close(os.open({str(busy)!r}, os.O_CREAT | os.O_EXCL))
        time.sleep(0.1)
        os.remove({str(busy)!r})
        return bytearray(2048), {{"components": 1, "bits_per_sample": 12}}
        """
    )
    results = [future.result() for future in pyramid.map_in_threads(dicom_pixels.read_pixels, [film] * 6, title="x")]
    assert [result.shape for result in results] == [(32, 32)] * 6


READ_FILM = "from pathlib import Path\nfrom synthcxr.readers import dicom_decoding, dicom_pixels\nfilm = Path({!r})\n"


def run_script(code: str, film: Path) -> subprocess.Popen[str]:
    """Run a program from standard input, as a notebook runs a cell: it has no main module that can be imported."""
    process = subprocess.Popen(
        [sys.executable, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=film.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder)},
    )
    assert process.stdin is not None
    process.stdin.write(READ_FILM.format(str(film)) + textwrap.dedent(code))
    process.stdin.close()
    return process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_has_workers_of_its_own(film: Path) -> None:
    """A program without a main guard reads films, also in a fork, at the same time and with the same pixels."""
    code = """
        import os
        expected = dicom_pixels.read_pixels(film)
        child = os.fork()
        good = all((dicom_pixels.read_pixels(film) == expected).all() for _ in range(20))
        if child == 0:
            os._exit(0 if good else 1)
        print(good, os.waitpid(child, 0)[1])
    """
    with run_script(code, film) as process:
        assert process.stdout is not None and process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == ("True 0\n", "")


def has_ended(pid: int) -> bool:
    """Return whether a process has ended; one that nobody has waited for yet counts."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("is_busy", [False, True])
def test_a_worker_ends_with_its_parent(film: Path, replace_decoder: Callable[[str], None], is_busy: bool) -> None:
    """If the parent is killed, its worker ends: at once if it is idle, and also while it decodes."""
    announce = f"open({str(film.parent / 'pid')!r}, 'w').write(str(os.getpid()) + ' ')"
    values = "return bytearray(2048), {'components': 1, 'bits_per_sample': 12}"
    replace_decoder(f"{announce}\n{'time.sleep(3600)' if is_busy else values}")
    process = run_script("dicom_pixels.read_pixels(film)\nimport time\ntime.sleep(3600)", film)
    with process:
        deadline = time.monotonic() + 60
        pid_file = film.parent / "pid"
        while not (pid_file.exists() and pid_file.read_text().endswith(" ")):
            assert time.monotonic() < deadline, "no worker has started"
            time.sleep(0.05)
        pid = int(pid_file.read_text())
        process.kill()
    while not has_ended(pid):
        assert time.monotonic() < deadline, "the worker is still running"
        time.sleep(0.05)
