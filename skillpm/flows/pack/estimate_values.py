"""What `pack --dry-run` estimates, and what samplers of schemes are given and return."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.module_kinds import block_of
from skillpm.flows.pack.attachments import Attachments
from skillpm.flows.pack.encoded_delta import EncodedTensor, Layers
from skillpm.flows.pack.model_pair import ModelPair, PackRequest
from skillpm.flows.pack.pack_file import file_size
from skillpm.flows.pack.sampled_run import Sampling
from skillpm.flows.pack.samples import TensorGroup, spec_of
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest

EMPTY = Path(os.devnull)
"""Stands for the file of a layer whose bytes are counted separately."""


@dataclass(frozen=True)
class StageEstimate:
    """A stage of `pack`: its label in the progress bar, and its expected seconds."""

    stage: str
    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class PackEstimate:
    """What a pack would take. Memory and sizes are in bytes.

    `memory_bytes` is the peak of the process without the model of a calibration, which takes
    `model_bytes` (None without a calibration). `sampled_bytes` are the bytes of tuned tensors that
    were encoded for the estimate, of `delta_bytes`. `notes` say what is not included.
    """

    request: PackRequest
    scheme: str
    workers: int
    stages: tuple[StageEstimate, ...]
    memory_bytes: int
    model_bytes: int | None
    file_bytes: int
    delta_bytes: int
    sampled_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The wall time."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def processor_seconds(self) -> float:
        """The processor time."""
        return sum(stage.processor_seconds for stage in self.stages)


@dataclass(frozen=True)
class SampledPack:
    """What samples say about the stages of a pack.

    `stages` are processor seconds, `stored` the bytes of every tensor, with its codec. `file_bytes`
    is set if the size follows from the target instead. `held_bytes` is the memory that grows with
    the largest tensors. `model_bytes` is that of the model of a calibration.
    """

    scheme: Scheme
    stages: Mapping[str, float]
    stored: Mapping[str, tuple[str, float]]
    held_bytes: int
    sampled_bytes: int
    file_bytes: int | None = None
    model_bytes: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of all tensors."""
        return round(sum(size for _, size in self.stored.values()))


@dataclass(frozen=True)
class SampleRequest:
    """What a sampler works on. `size_of` adds everything else in a file to the stored tensors."""

    session: Session
    models: ModelPair
    attachments: Attachments
    groups: Sequence[TensorGroup]
    sampling: Sampling

    @property
    def entries(self) -> int:
        """The entries of all tensors that differ."""
        return sum(spec_of(group.pairs[0]).elements * len(group.pairs) for group in self.groups)

    def size_of(self, scheme: Scheme, stored: Mapping[str, tuple[str, float]]) -> int:
        """The bytes of a pack file with these tensors, a manifest, side files and a container."""
        models, base = self.models, self.models.reference.base.identity
        encoded = {
            name: EncodedTensor(codec, Digest.of(block_of(name).encode()), round(size))
            for name, (codec, size) in stored.items()
        }
        draft = {
            pair.tensor: pair.entry(
                leaf=base.leaves.get(pair.tensor),
                codec=encoded[pair.tensor].codec,
                layer=encoded[pair.tensor].layer,
            )
            if pair.tensor in encoded
            else pair.entry(leaf=base.leaves.get(pair.tensor))
            for pair in models.differing
        }
        files = {tensor.layer: EMPTY for tensor in encoded.values()}
        layers = Layers(files, encoded, draft)
        empty = file_size(self.session, models, self.attachments, scheme, layers)
        return empty + round(sum(size for _, size in stored.values()))


class Sampler(Protocol):
    """Runs samples of a pack by one scheme, or by the search for one."""

    @property
    def group_entries(self) -> int:
        """The entries of each group of tensors that are sampled."""
        ...

    def warm_up(self, asked: SampleRequest, /) -> None:
        """Have libraries and kernels loaded, which `pack` does once."""
        ...

    def __call__(self, asked: SampleRequest, /) -> SampledPack:
        """What the samples say."""
        ...
