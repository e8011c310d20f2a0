"""What the tests ask of `generate`, where they say nothing else: ten images of anything, in small batches, here."""

from synthcxr.config.schema import GenerateConfig

PLAIN = GenerateConfig(
    n=10,
    seed=1,
    labels=(),
    without=(),
    per_label=None,
    mix=None,
    method="reject",
    with_judge=False,
    max_draws=4000,
    batch=16,
    device="cpu",
)
