"""Parts of a `tokenizer.json` that crash its library."""

from typing import Any

ABORTS = {
    "type": "BPE",
    "vocab": {"a": 0, "\u00e9": 1},
    "merges": ["a \u00e9"],
    "continuing_subword_prefix": "#",
}
"""A model that ends the process when it is loaded."""
HUGE = {"type": "Precompiled", "precompiled_charsmap": "////fwAAAAA="}
"""A normalizer that allocates gigabytes."""


def growing(letter: str, *, times: int, steps: int) -> dict[str, Any]:
    """A normalizer that multiplies a letter `times` times in each of `steps` steps."""
    step = {"type": "Replace", "pattern": {"String": letter}, "content": letter * times}
    return {"type": "Sequence", "normalizers": [step] * steps}
