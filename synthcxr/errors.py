"""The errors of synthcxr. Each is a SynthCXRError whose message is one line: what happened and what to do."""


class SynthCXRError(Exception):
    """The base class. The command line shows the message and exits with code 2."""


class ConfigError(SynthCXRError):
    """A parameter, option or environment variable has a value that cannot be used."""


class DataError(SynthCXRError):
    """Films, labels or a dataset are missing, broken or contradictory."""


class ArtifactError(SynthCXRError):
    """A model file, checkpoint or registry entry is missing, broken or does not fit."""


class GateError(SynthCXRError):
    """The command finished, but a gate failed or a request was met only in part (exit code 1)."""
