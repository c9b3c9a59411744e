"""Reads floating point tensors of a source, with or without a pack on it, as torch tensors."""

from collections.abc import Iterable

import numpy as np
import torch

from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.streams import whole
from skillpm.spec.dtypes import is_float


def tensors_of(
    source: Source, names: Iterable[str], pack: OpenPack | None = None
) -> dict[str, torch.Tensor]:
    """Return the floating point tensors of a source by name, float32.

    A tensor that `pack` changes is decoded from the pack. Other dtypes are left out.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name in sorted(names):
        spec = source.specs.get(name)
        if pack is not None and name in pack.entries:
            spec = pack.entries[name].spec
            words = np.concatenate([words for _, words, _ in pack.decode(name, source)])
        elif spec is not None:
            words = whole(source, spec)
        if spec is not None and is_float(spec.dtype):
            values = to_float64(words, spec.dtype).astype(np.float32)
            tensors[name] = torch.from_numpy(values).reshape(spec.shape)
    return tensors
