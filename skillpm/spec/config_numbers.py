"""Limits for the numbers in an untrusted config, derived from the tensors of the model.

A config of a few bytes can request any number of layers or experts. Its numbers are checked before
a library reads it and allocates memory.
"""

import re
from collections.abc import Mapping
from typing import Any

from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.json import scalars

LARGEST = 1 << 24
"""The limit for other numbers, such as context lengths and token ids, unless a tensor is longer."""
_LAYERS = frozenset({"layers", "depth", "depths"})
"""Words in keys that count layers. Each layer has at least one tensor."""
_FEW_LAYERS = 128
"""The number of layers that any config may have: some keys are thresholds (`max_window_layers`)."""
_IDS = frozenset({"id", "token", "index"})
_COUNTS = frozenset({
    "layer", "block", "blocks", "stage", "stages", "expert",
    "experts", "labels", "heads", "head", "levels", "codebooks", "quantizers", "towers", "hops",
    "queries", "modules", "groups",
})  # fmt: skip
"""Words in keys that count parts of a model."""
_SIDES = frozenset({"image", "patch", "grid", "resolution", "frames", "channels", "mel", "bins"})
"""Words in keys for image sizes. Tables of positions grow with their square."""
_LARGEST_SIDE = 1 << 13
_FREE = frozenset({"theta", "seed", "value", "infinity"})
"""Words in keys whose numbers are not limited."""


def check_numbers(config: Mapping[str, Any], specs: Mapping[str, TensorSpec]) -> None:
    """Raise `ValueError` if a number in a config is too large for a model with these tensors.

    `config` is the parsed JSON of the file, before a library reads it: some libraries allocate
    lists and tables while they read. Linear in the size of the config.
    """
    longest = max((max(spec.shape, default=1) for spec in specs.values()), default=1)
    for key, value in scalars(config):
        if isinstance(value, int):
            words = frozenset(re.split(r"[^a-z0-9]+", key.lower()))
            if abs(value) > _limit(words, longest, len(specs)) and not words & _FREE:
                raise ValueError(
                    f"`{key}` is {value} in the config, which does not fit {len(specs)} "
                    f"tensors with at most {longest} rows or columns"
                )


def _limit(words: frozenset[str], longest: int, tensors: int) -> int:
    """The limit for a key with these words.

    `longest` is the longest dimension of all tensors, and `tensors` is their number.
    """
    if words & _LAYERS:
        return max(tensors, _FEW_LAYERS)
    if words & _COUNTS:
        return max(longest, tensors)
    if words & _SIDES and not words & _IDS:
        return max(longest, _LARGEST_SIDE)
    return max(longest, LARGEST)
