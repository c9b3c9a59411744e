"""Numbers of a stranger's config, bounded against the tensors that it is to describe.

A few bytes of a config ask for any number of layers and experts, so this is looked at before any
library reads the config.
"""

import re
from collections.abc import Mapping
from typing import Any

from skillpm.spec.dtypes import TensorSpec

LARGEST = 1 << 24
"""A number in a config, where no tensor is longer: contexts and token ids are below it."""
_LAYERS = frozenset({"layers", "depth", "depths"})
"""Words of keys that count layers, each of which has a tensor at least."""
_FEW_LAYERS = 128
"""Layers that any config may speak of: some keys are thresholds (`max_window_layers`)."""
_IDS = frozenset({"id", "token", "index"})
_COUNTS = frozenset({
    "layer", "block", "blocks", "stage", "stages", "expert",
    "experts", "labels", "heads", "head", "levels", "codebooks", "quantizers", "towers", "hops",
    "queries", "modules", "groups",
})  # fmt: skip
"""Words of keys that count parts of a model."""
_SIDES = frozenset({"image", "patch", "grid", "resolution", "frames", "channels", "mel", "bins"})
"""Words of keys that are sides of pictures: tables of positions grow with their square."""
_LARGEST_SIDE = 1 << 13
_FREE = frozenset({"theta", "seed", "value", "infinity"})


def check_numbers(config: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    """Raise `ValueError` where a config holds a number that no model of these tensors needs.

    `config` is the file's own JSON, before any library reads it: some make lists and tables of
    its numbers while they do. Linear in the size of the config.
    """
    longest = max((max(spec.shape, default=1) for spec in specs.values()), default=1)
    stack: list[tuple[str, Any]] = list(config.items())
    while stack:
        key, value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.items())
        elif isinstance(value, list):
            stack.extend((key, item) for item in value)
        elif isinstance(value, int):
            words = frozenset(re.split(r"[^a-z0-9]+", key.lower()))
            if abs(value) > _limit(words, longest, len(specs)) and not words & _FREE:
                raise ValueError(
                    f"its config says `{key}` {value}, and there are {len(specs)} tensors of at "
                    f"most {longest} rows or columns"
                )


def _limit(words: frozenset[str], longest: int, tensors: int) -> int:
    """The largest number of a key with these words, by the longest side and count of tensors."""
    if words & _LAYERS:
        return max(tensors, _FEW_LAYERS)
    if words & _COUNTS:
        return max(longest, tensors)
    if words & _SIDES and not words & _IDS:
        return max(longest, _LARGEST_SIDE)
    return max(longest, LARGEST)
