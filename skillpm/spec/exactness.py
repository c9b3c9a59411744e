"""Which codecs of a pack are exact, according to its manifest."""

from skillpm.spec.manifest import Manifest

EXACT = frozenset({"lossless", "bitmap", "whole"})
FACTORS = "lowrank"
"""The codec that stores low-rank factors."""


def is_exact(manifest: Manifest, codec: str) -> bool:
    """Whether a codec decodes to exactly the tuned tensor.

    The factors of a PEFT adapter are exact, because the tuned model is the base plus the adapter.
    """
    return codec in EXACT or (codec == FACTORS and holds_adapter(manifest))


def holds_adapter(manifest: Manifest) -> bool:
    """Whether the pack was built from a PEFT adapter, according to its settings."""
    return isinstance(manifest.compression.settings.get("adapter"), dict)
