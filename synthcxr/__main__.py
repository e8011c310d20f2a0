"""`python -m synthcxr` is `synthcxr`."""

from synthcxr.cli.main import main

if __name__ == "__main__":
    main(prog_name="synthcxr")
