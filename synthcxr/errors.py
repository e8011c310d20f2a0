"""The errors of synthcxr. Each is a SynthCXRError whose message is one line: what happened and what to do."""

import re

_MAX_LENGTH = 4000
_NOT_TEXT = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, changes of the writing direction, and surrogates without a partner."""


class SynthCXRError(Exception):
    """The base class. The command line shows the message and exits with code 2.

    A message quotes names and texts from files of others, so it is made one line of text that a terminal can show:
    line ends become spaces, other control characters are escaped, and the middle of a very long message is left out.
    """

    def __init__(self, message: str = "") -> None:
        line = " ".join(message.split("\n"))
        line = _NOT_TEXT.sub(lambda match: match[0].encode("unicode_escape").decode(), line)
        half = _MAX_LENGTH // 2
        super().__init__(line if len(line) <= _MAX_LENGTH else f"{line[:half]} ... {line[-half:]}")


class ConfigError(SynthCXRError):
    """A parameter, option or environment variable has a value that cannot be used."""


class DataError(SynthCXRError):
    """Films, labels or a dataset are missing, broken or contradictory."""


class ArtifactError(SynthCXRError):
    """A model file, checkpoint or registry entry is missing, broken or does not fit."""


class ExtensionError(SynthCXRError):
    """An extension of another package cannot be imported, or does not keep to its declaration."""


class GateError(SynthCXRError):
    """The command finished, but a gate failed or a request was met only in part (exit code 1)."""
