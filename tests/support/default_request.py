"""The default request of the generation tests: ten unconditional images in small batches on the CPU."""

from synthcxr.config.schema import GenerateConfig

DEFAULT_REQUEST = GenerateConfig(
    n=10,
    seed=1,
    labels=(),
    without=(),
    per_label=None,
    mix=None,
    view=None,
    sex=None,
    age=None,
    method="reject",
    with_judge=False,
    max_draws=4000,
    batch=16,
    device="cpu",
)
