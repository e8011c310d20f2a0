"""Classifier and judge go where their generator goes: their aliases are set to what its version's tags name."""

from __future__ import annotations

from synthcxr.registry import client, connection
from synthcxr.registry.model_address import CANDIDATE, CHAMPION, GENERATOR

KINDS = ("classifier", "judge")


def tag(kind: str) -> str:
    """The tag of a generator's version that holds its labeller's version."""
    return f"synthcxr.{kind}_version"


def follow(registry: client.Registry) -> tuple[str, ...]:
    """Mend the labellers' aliases, and say which were not where the generator's are."""
    mended = []
    leading = registry.aliases(GENERATOR)
    for alias in (CANDIDATE, CHAMPION):
        if alias not in leading:
            continue
        tags = registry.version(GENERATOR, leading[alias]).tags
        for kind in KINDS:
            name, wanted = f"synthcxr-{kind}", tags.get(tag(kind), "")
            if wanted and registry.aliases(name).get(alias) != wanted:
                with connection.speaking(registry.uri):
                    registry.client.set_registered_model_alias(name, alias, wanted)
                mended.append(f"{name}@{alias} is version {wanted}")
    return tuple(mended)
