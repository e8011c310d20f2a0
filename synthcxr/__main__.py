"""`python -m synthcxr` is `synthcxr`."""

import signal


def run() -> None:
    """Run the command line. Ctrl-C before and after a command ends the process without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from synthcxr.cli.main import main

    main(prog_name="synthcxr")


if __name__ == "__main__":
    run()
