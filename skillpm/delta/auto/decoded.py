"""Tensors of a source, or of what a pack makes of it, as torch tensors."""

from collections.abc import Iterable

import numpy as np
import torch

from skillpm.delta.apply.open_pack import OpenPack
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.streams import whole
from skillpm.spec.dtypes import is_float


def tensors_of(
    source: Source, names: Iterable[str], pack: OpenPack | None = None
) -> dict[str, torch.Tensor]:
    """The floating point tensors of a source by name, float32, after a pack where one is given."""
    found: dict[str, torch.Tensor] = {}
    for name in sorted(names):
        spec = source.specs.get(name)
        if pack is not None and name in pack.entries:
            spec = pack.entries[name].spec
            words = np.concatenate([words for _, words, _ in pack.decode(name, source)])
        elif spec is not None:
            words = whole(source, spec)
        if spec is not None and is_float(spec.dtype):
            values = to_float64(words, spec.dtype).astype(np.float32)
            found[name] = torch.from_numpy(values).reshape(spec.shape)
    return found
