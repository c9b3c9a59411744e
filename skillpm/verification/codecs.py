"""Which codecs carry a tensor without any error."""

from skillpm.delta.codecs import lossless, lowrank, whole
from skillpm.spec.manifest import Manifest

EXACT = frozenset({lossless.NAME, whole.NAME})


def is_exact(manifest: Manifest, codec: str) -> bool:
    """Whether a codec decodes to the tuned tensor itself.

    The factors of an adapter do: the tuned model is the base with that adapter on it.
    """
    return codec in EXACT or (codec == lowrank.NAME and holds_adapter(manifest))


def holds_adapter(manifest: Manifest) -> bool:
    """Whether the pack was cut from a PEFT adapter, as its settings say."""
    return isinstance(manifest.compression.settings.get("adapter"), dict)
