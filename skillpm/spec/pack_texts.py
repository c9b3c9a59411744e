"""The sizes and the error of a pack as text, for the command line and for pictures."""

from typing import TYPE_CHECKING

from skillpm.spec.words import size_text

if TYPE_CHECKING:
    from skillpm.spec.manifest_parts import Compression


def compression_text(compression: "Compression", *, size: int) -> str:
    """The size of a pack, what its weights take, and how much smaller that is than the delta.

    The pack holds the manifest, the card, the probes and the side files too.
    """
    factor = f"{compression.ratio:.2f} times smaller" if compression.ratio >= 1 else "not smaller"
    return (
        f"{size_text(size)}: {size_text(compression.delta_bytes)} of changed weights in "
        f"{size_text(compression.payload_bytes)} ({factor}, {compression.scheme})"
    )


def error_text(relative: float | None) -> str:
    """A relative error as text; zero and None are `exact`."""
    return "exact" if not relative else f"relative error {relative:.3g} of the changed weights"
