"""Which codecs carry a tensor without any error, by a manifest alone."""

from skillpm.spec.manifest import Manifest

EXACT = frozenset({"lossless", "whole"})
FACTORS = "lowrank"
"""The codec that keeps an adapter's factors."""


def is_exact(manifest: Manifest, codec: str) -> bool:
    """Whether a codec decodes to the tuned tensor itself.

    The factors of an adapter do: the tuned model is the base with that adapter on it.
    """
    return codec in EXACT or (codec == FACTORS and holds_adapter(manifest))


def holds_adapter(manifest: Manifest) -> bool:
    """Whether the pack was cut from a PEFT adapter, as its settings say."""
    return isinstance(manifest.compression.settings.get("adapter"), dict)
