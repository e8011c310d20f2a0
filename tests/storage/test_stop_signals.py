"""Stop signals: raised once in the main thread, held back in a block, and never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthcxr.storage import clean_up, stop_signals
from synthcxr.storage.stop_signals import StopSignal

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def default_handlers() -> Iterator[None]:
    """Handlers that are not ignored, also when the tests run under nohup or in the background."""
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_unwinds_the_block_once(number: signal.Signals) -> None:
    """The first signal is raised and later ones do not interrupt the clean-up; then the old handlers are back."""
    steps = []
    with pytest.raises(StopSignal) as stop, stop_signals.handled():
        try:
            signal.raise_signal(number)
            steps.append("not reached")
        finally:
            for later in NUMBERS:
                signal.raise_signal(later)
            steps.append("cleaned up")
    assert (stop.value.number, steps) == (number, ["cleaned up"])
    assert stop_signals.find_stop() == number
    assert [signal.getsignal(each) for each in NUMBERS] == [signal.SIG_DFL] * 3


def test_a_new_block_starts_without_a_stop() -> None:
    """A signal of an earlier block does not hide one of the next block."""
    for number in NUMBERS:
        with pytest.raises(StopSignal) as stop, stop_signals.handled():
            assert stop_signals.find_stop() is None
            signal.raise_signal(number)
        assert stop.value.number == number


def test_a_signal_that_is_ignored_at_the_start_stays_ignored() -> None:
    """Under nohup, SIGHUP does not stop the process; SIGTERM does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_signals.handled():
        signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    with pytest.raises(StopSignal), stop_signals.handled():
        signal.raise_signal(signal.SIGTERM)


def test_a_deferred_block_completes() -> None:
    """A signal inside the block is raised at its end, with the number of the first one."""
    steps = []
    with pytest.raises(StopSignal) as stop, stop_signals.deferred(lambda: steps.append("requested")) as request:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        steps.append(str(request.requested))
    assert (stop.value.number, steps) == (signal.SIGTERM, ["requested", "True"])


def test_nested_deferred_blocks_wait_for_the_outermost() -> None:
    """The end of an inner block does not interrupt the outer one."""
    steps = []
    with pytest.raises(StopSignal), stop_signals.deferred():
        with stop_signals.deferred():
            signal.raise_signal(signal.SIGTERM)
            steps.append("inner")
        steps.append("outer")
    assert steps == ["inner", "outer"]


def test_an_error_in_a_deferred_block_is_not_replaced() -> None:
    """An error of the block itself is raised, not the signal that waits."""
    with pytest.raises(ValueError, match="its own"), stop_signals.handled(), stop_signals.deferred():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("its own")
    assert stop_signals.find_stop() is None


def test_only_a_second_ctrl_c_ends_an_interruptible_block() -> None:
    """A terminal that closes sends SIGHUP twice: that waits. A second Ctrl-C does not."""
    steps = []
    with pytest.raises(StopSignal), stop_signals.deferred(interruptible=True):
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGINT):
            signal.raise_signal(number)
            steps.append(number)
    assert steps == [signal.SIGHUP, signal.SIGHUP]


def test_a_signal_in_a_finaliser_is_delivered_again() -> None:
    """Python drops what a finaliser raises; the process stops nevertheless, also while it waits, and prints nothing."""
    program = (
        "import os, signal, time\n"
        "from synthcxr.storage import stop_signals\n"
        "class Finalised:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "with stop_signals.handled():\n"
        "    try:\n"
        "        Finalised()\n"
        "        time.sleep(600)\n"
        "    except stop_signals.StopSignal as stop:\n"
        "        os._exit(128 + stop.number)\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert (process.returncode, process.stderr) == (143, "")


def test_a_library_cannot_keep_its_handler() -> None:
    """A handler that a library sets in the block is replaced by the one from before."""
    with pytest.raises(StopSignal), stop_signals.handled():
        with stop_signals.keep_handlers():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.raise_signal(signal.SIGTERM)


def test_an_interrupted_task_runs_at_the_end() -> None:
    """A clean-up that the signal itself interrupts runs again, and completes in spite of further signals."""
    steps = []

    def task() -> None:
        steps.append("started")
        signal.raise_signal(signal.SIGTERM)
        steps.append("completed")

    with stop_signals.handled():
        with pytest.raises(StopSignal), clean_up.ensured(task):
            pass
        clean_up.run_remaining()
        clean_up.run_remaining()
    assert steps == ["started", "started", "completed"]


def test_a_temporary_folder_never_stays(tmp_path: Path) -> None:
    """A signal at any file event of a temporary folder leaves nothing, from its creation to its removal."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from synthcxr.storage import clean_up, stop_signals\n"
        "n_events, stop_at, is_counting = 0, 0, False\n"
        "def count(event, arguments):\n"
        "    global n_events\n"
        "    if is_counting and event.startswith(('open', 'os.', 'shutil.', 'tempfile.')):\n"
        "        n_events += 1\n"
        "        if n_events == stop_at:\n"
        "            signal.raise_signal(signal.SIGTERM)\n"
        "sys.addaudithook(count)\n"
        "while n_events >= stop_at:\n"
        "    n_events, stop_at = 0, stop_at + 1\n"
        "    with stop_signals.handled():\n"
        "        is_counting = True\n"
        "        try:\n"
        "            with clean_up.temporary_folder('x-', parent=Path(sys.argv[1])) as folder:\n"
        "                (folder / 'file').write_text('content')\n"
        "        except stop_signals.StopSignal:\n"
        "            clean_up.run_remaining()\n"
        "        is_counting = False\n"
        "    assert not os.listdir(sys.argv[1]), stop_at\n"
        "print(stop_at)\n"
    )
    process = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(process.stdout) > 5


def test_another_thread_is_left_alone() -> None:
    """Outside the main thread nothing is installed, so that a server may call the same code."""
    handlers = []

    def run() -> None:
        with stop_signals.handled(), stop_signals.deferred(), stop_signals.keep_handlers():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
