"""Packs as candidates, made and grafted by the command line; lossless peers by their bytes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import zstandard
from safetensors.torch import load_file

from benchmarks.llm import planes
from benchmarks.llm.commands import empty_home
from benchmarks.llm.places import WEIGHTS
from benchmarks.peers.auto import weights_alone
from benchmarks.peers.task import Budget, Candidate, Clock, Task
from benchmarks.tools.running import SKILLPM, run
from skillpm.delta.tensors.streams import whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillpm.checkpoint.model import Checkpoint
    from skillpm.delta.tensors.words import Words


@dataclass(frozen=True)
class Packer:
    """A `skillpm` program, of this or of another checkout."""

    program: str = SKILLPM

    def pack(self, task: Task, *options: str) -> Candidate:
        """Pack the tuned weights, install the pack, graft it, and read the graft."""
        clock = Clock()
        file, project = task.folder / "one.skillpack", task.folder / "project"
        file.unlink(missing_ok=True)
        shutil.rmtree(project, ignore_errors=True)
        project.mkdir()
        empty_home(task.folder / "home")  # it may hold another pack of the same name and version
        base, tuned = str(task.base.absolute()), str(weights_alone(task, task.folder / "weights"))
        named = ("--name", "acme/bench", "--version", "1.0.0", "-o", str(file.absolute()))
        self._run(task, project, "pack", base, tuned, *named, *options)
        self._run(task, project, "init", "--base", base)
        self._run(task, project, "install", str(file.absolute()))
        self._run(task, project, "graft")
        state = load_file(project / "graft" / WEIGHTS)
        shutil.rmtree(project)
        return Candidate(state, file.stat().st_size, clock.seconds, {"options": options})

    def _run(self, task: Task, project: Path, *arguments: str) -> None:
        run(self.program, *arguments, cwd=project, home=task.folder / "home")

    def auto(self, task: Task, budget: Budget | None) -> Candidate:
        """The scheme `auto` without calibration text."""
        return self.pack(task, "--budget", f"{budget}B")

    def calibrated(self, task: Task, budget: Budget | None) -> Candidate:
        """The scheme `auto` with the calibration text that the recipe uses."""
        text = str(task.calibration.absolute())
        return self.pack(task, "--budget", f"{budget}B", "--calibration", text)

    def lossless(self, task: Task, _budget: Budget | None) -> Candidate:
        """The lossless scheme."""
        return self.pack(task)

    def fast(self, task: Task, _budget: Budget | None) -> Candidate:
        """The fast lane of the lossless scheme."""
        return self.pack(task, "--effort", "fast")


def zipnn_of_xor(task: Task, _budget: Budget | None) -> Candidate:
    """The XOR of all words, compressed by zipnn; names, shapes and headers are not counted."""
    from zipnn import ZipNN  # of the extra `bench`

    clock = Clock()
    specs = task.after.specs
    words = [whole(task.after, spec) ^ whole(task.before, spec) for spec in specs.values()]
    data = bytearray(np.concatenate(words).tobytes())
    size = len(ZipNN(bytearray_dtype="bfloat16", input_format="byte").compress(data))
    return Candidate(load_file(task.tuned / WEIGHTS), size, clock.seconds)


def bitx(task: Task, _budget: Budget | None) -> Candidate:
    """BitX of ZipLLM (NSDI 2026, arXiv 2505.06252): the XOR of bf16 words as two streams, zstd -3.

    One stream has the exponents, the other signs and mantissas. Names, shapes and headers are not
    counted; ZipLLM finds equal tensors first, which adds nothing where all differ.
    """
    clock = Clock()
    before, after = _words_of(task.before), _words_of(task.after)
    change = after ^ before
    exponents = (change >> 7).astype(np.uint8)
    others = ((change >> 8) & 0x80 | change & 0x7F).astype(np.uint8)
    frames = [zstandard.ZstdCompressor(level=3).compress(one.data) for one in (exponents, others)]
    back = [
        np.frombuffer(zstandard.ZstdDecompressor().decompress(frame), np.uint8).astype(np.uint16)
        for frame in frames
    ]
    read = (back[0] << 7) | ((back[1] & 0x80) << 8) | (back[1] & 0x7F)
    assert np.array_equal(read ^ before, after), "BitX does not restore the tuned model"
    return Candidate(load_file(task.tuned / WEIGHTS), sum(map(len, frames)), clock.seconds)


def fm_delta(task: Task, _budget: Budget | None) -> Candidate:
    """FM-Delta as in `benchmarks.lossless.peers`: frequencies exact and not counted."""
    from benchmarks.lossless import peers  # needs the extra `bench`

    clock = Clock()
    size = 0
    for pair in peers.pairs_of(task.base, task.tuned):
        coded = peers.fm_delta(pair)
        assert np.array_equal(peers.fm_delta_back(pair, coded), pair.tuned), pair.spec.name
        size += coded.codes.nbytes + len(coded.raw)
    return Candidate(load_file(task.tuned / WEIGHTS), size, clock.seconds)


def _words_of(model: Checkpoint) -> Words:
    return np.concatenate([whole(model, spec) for _, spec in sorted(model.specs.items())])


def zstd_of_planes(task: Task, _budget: Budget | None) -> Candidate:
    """The script `benchmarks.llm.planes`."""
    clock = Clock()
    file, out = task.folder / "planes", task.folder / "planes-back"
    planes.pack(task.base, task.tuned, file)
    planes.back(task.base, file, out)
    state = load_file(out / WEIGHTS)
    shutil.rmtree(out)
    return Candidate(state, file.stat().st_size, clock.seconds)


FAST = "lossless-fast"
EXACT: dict[str, Callable[[Task, Budget | None], Candidate]] = {
    "lossless": Packer().lossless,
    FAST: Packer().fast,
    "planes-zstd": zstd_of_planes,
    "zipnn-xor": zipnn_of_xor,
    "bitx": bitx,
    "fm-delta": fm_delta,
}
OURS: dict[str, Callable[[Task, Budget | None], Candidate]] = {
    "auto": Packer().auto,
    "auto-calibrated": Packer().calibrated,
}
LOSSLESS_BEFORE, AUTO_BEFORE = "lossless-before", "auto-before"


def before(program: str) -> dict[str, Callable[[Task, Budget | None], Candidate]]:
    """The methods of another checkout, by the path of its `skillpm`."""
    packer = Packer(program)
    return {LOSSLESS_BEFORE: packer.lossless, AUTO_BEFORE: packer.auto}
