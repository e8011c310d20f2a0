"""The error tree: every error a user can cause or mend is a SynthCXRError whose message says what to do."""


class SynthCXRError(Exception):
    """Base of every error that the command line shows as one plain line (exit code 2)."""


class ConfigError(SynthCXRError):
    """A parameter, option or environment that cannot be used as given."""


class DataError(SynthCXRError):
    """Films, labels or a dataset that are absent, broken or contradict each other."""


class ArtifactError(SynthCXRError):
    """A model file, checkpoint or registry entry that is absent, broken or does not fit."""


class GateError(SynthCXRError):
    """The work is done but a gate failed, or a request was met only in part (exit code 1)."""
