"""Parts of a `tokenizer.json` that its library does not survive."""

from typing import Any

ABORTS = {
    "type": "BPE",
    "vocab": {"a": 0, "\u00e9": 1},
    "merges": ["a \u00e9"],
    "continuing_subword_prefix": "#",
}
"""A model that ends the process when it is loaded."""
HUGE = {"type": "Precompiled", "precompiled_charsmap": "////fwAAAAA="}
"""A normalizer that asks for gigabytes."""


def growing(letter: str, *, times: int, steps: int) -> dict[str, Any]:
    """A normalizer that makes so many of a letter, so many steps in a row."""
    step = {"type": "Replace", "pattern": {"String": letter}, "content": letter * times}
    return {"type": "Sequence", "normalizers": [step] * steps}
