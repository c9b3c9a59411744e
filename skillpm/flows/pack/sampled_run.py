"""Runs the encoder and the decoder on samples of tensors, in memory, and takes their time."""

import io
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.encode import EncodingJob, measure_tensor
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.ports import InMemory
from skillpm.delta.tensors.streams import pair_chunks
from skillpm.flows.pack.child_processes import ChildUsage
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.samples import Sample
from skillpm.parallel import no_advance, parallel_map
from skillpm.spec.digests import Digest

Item = TypeVar("Item")
Result = TypeVar("Result")
_STATUS = Path("/proc/self/statm")


@dataclass(frozen=True)
class Spent:
    """Seconds of wall time, and of the processors, of this process and of its children."""

    seconds: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> "Spent":
        """The readings of both clocks; only differences have a meaning."""
        times = os.times()
        return cls(time.monotonic(), sum(times[:4]) + ChildUsage.now().processor)

    def since(self, earlier: "Spent") -> "Spent":
        """What was spent between two readings."""
        return Spent(self.seconds - earlier.seconds, self.processor - earlier.processor)


@dataclass(frozen=True)
class RunResult:
    """What one sample became, unscaled: its codec, the bytes of its layer, processor seconds."""

    codec: str
    size: int
    encoding: float
    checking: float


def run_sample(models: ModelPair, sample: Sample, scheme: Scheme) -> RunResult:
    """Encode a sample by a scheme as `pack` does, decode it and measure it."""
    pair, started = sample.pair, time.thread_time()
    writer, out = PayloadWriter(io.BytesIO()), io.BytesIO()
    record = scheme.encode(pair, pair_chunks(sample.base, sample.tuned, pair), writer)
    writer.write_to(out)
    encoded = time.thread_time()
    pack = open_sample(models, sample, record.codec, out.getvalue())
    measure_tensor(EncodingJob(sample.base, sample.tuned, 1, no_advance), pair, pack)
    checked = time.thread_time()
    return RunResult(record.codec, out.tell(), encoded - started, checked - encoded)


def open_sample(models: ModelPair, sample: Sample, codec: str, layer: bytes) -> OpenPack:
    """Open a layer in memory that has only the tensor of a sample."""
    pair, digest = sample.pair, Digest.of(b"")
    leaf = None if pair.base is None else digest
    entries = {pair.tensor: pair.entry(leaf=leaf, codec=codec, layer=digest)}
    return OpenPack(models.request.skill, "sample", entries, (), lambda _digest: InMemory(layer))


@dataclass
class Sampling:
    """Runs samples in as many threads as `pack` uses, and sums up what they take."""

    workers: int
    spent: Spent = Spent()

    def map(self, run: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The results for all items, in order."""
        started = Spent.now()
        results = parallel_map(run, items, workers=self.workers)
        taken = Spent.now().since(started)
        self.spent = Spent(
            self.spent.seconds + taken.seconds, self.spent.processor + taken.processor
        )
        return results

    @property
    def parallelism(self) -> float:
        """The processors that samples kept busy at once, at most the number of threads."""
        if not self.spent.seconds or not self.spent.processor:
            return 1.0
        return max(0.01, min(self.workers, self.spent.processor / self.spent.seconds))


def scaled(points: Sequence[tuple[float, float]], entries: float) -> float:
    """The seconds of a whole tensor from those of parts of it, as (entries, seconds).

    With one part, seconds are in proportion to the entries. With two, the smaller first, they grow
    by as much for each further entry as from one part to the other.
    """
    (most, seconds) = points[-1]
    if len(points) == 1 or entries <= most:
        return seconds * entries / most
    (least, before) = points[0]
    return seconds + max(0.0, seconds - before) / (most - least) * (entries - most)


def resident_bytes() -> int:
    """The memory that this process has now; where the system does not say, its peak."""
    try:
        return int(_STATUS.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return peak_bytes()


def peak_bytes() -> int:
    """The most memory that this process had at once, or one that it started and that runs."""
    unit = 1 if sys.platform == "darwin" else 1024
    own = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, ChildUsage.now().peak_bytes)


def total(each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sums of several mappings by key."""
    sums: dict[str, float] = {}
    for mapping in each:
        for key, value in mapping.items():
            sums[key] = sums.get(key, 0.0) + value
    return sums
