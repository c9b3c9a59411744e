"""Reads floating point tensors of a source, with or without a pack on it, as torch tensors."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.streams import whole
from skillpm.spec.dtypes import TensorSpec, is_float


def tensors_of(
    source: Source, names: Iterable[str], pack: OpenPack | None = None
) -> dict[str, torch.Tensor]:
    """Return the floating point tensors of a source by name, float32.

    A tensor that `pack` changes is decoded from the pack. Other dtypes are left out.
    """
    return dict(DecodedTensors.of(source, names, pack))


@dataclass(frozen=True)
class DecodedTensors(Mapping[str, torch.Tensor]):
    """The floating point tensors of a source by name, float32, each decoded when it is looked up.

    `chosen` are their specs. A tensor that `pack` changes is decoded from the pack.
    """

    source: Source
    pack: OpenPack | None
    chosen: Mapping[str, TensorSpec]

    @classmethod
    def of(
        cls, source: Source, names: Iterable[str], pack: OpenPack | None = None
    ) -> "DecodedTensors":
        """Those of the tensors `names` that are floats."""
        changed = {} if pack is None else {name: entry.spec for name, entry in pack.entries.items()}
        specs = {**source.specs, **changed}
        chosen = {name: specs[name] for name in sorted(names) if name in specs}
        return cls(source, pack, {n: spec for n, spec in chosen.items() if is_float(spec.dtype)})

    def __getitem__(self, name: str) -> torch.Tensor:
        """Decode a tensor. Raises `KeyError`."""
        spec = self.chosen[name]
        if self.pack is not None and name in self.pack.entries:
            words = np.concatenate([words for _, words, _ in self.pack.decode(name, self.source)])
        else:
            words = whole(self.source, spec)
        values = to_float64(words, spec.dtype).astype(np.float32)
        return torch.from_numpy(values).reshape(spec.shape)

    def __iter__(self) -> Iterator[str]:
        """The names of the tensors, sorted."""
        return iter(self.chosen)

    def __len__(self) -> int:
        """The number of the tensors."""
        return len(self.chosen)

    def __contains__(self, name: object) -> bool:
        """Whether a tensor of this name can be decoded. Decodes nothing."""
        return name in self.chosen
