"""Classifiers and feature extractors in words, so that distances in two of them never look alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BACKBONES = {
    "small": "a small residual network",
    "densenet121": "DenseNet-121",
    "efficientnet-lite0": "EfficientNet-Lite0",
}
_NETWORKS = {
    "judge": "a classifier trained on chest films",
    "classifier": "a classifier trained on chest films",
    "efficientnet-lite0": "EfficientNet-Lite0 trained on ImageNet",
    "inception": "Inception-v3 trained on ImageNet (FID)",
}
_ROLES = ("judge", "classifier")


def describe_classifier(network: Mapping[str, Any], *, n_films: int | None) -> str:
    """A judge or classifier in words, such as "EfficientNet-Lite0 fine-tuned on 257 films".

    `network` is that of its metadata. `n_films` is the number of its training films, None if it is unknown.
    """
    backbone = _BACKBONES.get(str(network.get("backbone")), "a network")
    verb = "fine-tuned" if network.get("initial_weights") == "imagenet" else "trained"
    n = network.get("n_films", n_films)
    return f"{backbone} {verb} on {'chest films' if n is None else f'{n:,} films'}"


def name_network(name: str, names: Mapping[str, str]) -> str:
    """A heading, such as "judge: EfficientNet-Lite0 fine-tuned on 257 films".

    `name` is a judge, a classifier or an extractor, and `names` the section "names" of metrics.json.
    """
    network = _describe(name, names)
    return f"{name}: {network}" if name in _ROLES else network


def name_features(extractor: str, names: Mapping[str, str]) -> str:
    """The features of an extractor within a sentence."""
    network = _describe(extractor, names)
    return f"features of the {extractor} ({network})" if extractor in _ROLES else f"features of {network}"


def name_features_briefly(extractor: str) -> str:
    """The features of an extractor where the text names its network elsewhere."""
    network = _NETWORKS.get(extractor, extractor).partition(" trained on ")[0]
    return f"features of the {extractor}" if extractor in _ROLES else f"features of {network}"


def _describe(name: str, names: Mapping[str, str]) -> str:
    return names.get(name) or _NETWORKS.get(name, name)
