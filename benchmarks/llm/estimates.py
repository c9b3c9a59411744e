"""Estimates of `pack --dry-run` beside what `pack` takes, for every scheme; and for an 8B model.

`python -m benchmarks.llm estimates --tune dev` runs each dry run and the pack that it estimates one
after the other, so that other load on the machine affects both. Ratios are estimate to measured.
`python -m benchmarks.llm.estimates BASE TUNED` prints the estimates for a model of 8B shapes of the
rows of the fine-tune, and `--layer` those of one of its layers beside the measured pack.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.llm.runs import Cost, Run
from benchmarks.llm.shaped import LAYERS, Shaped, shapes
from benchmarks.tools.table import Table, add_output, megabytes, publish
from skillpm.api.client import Client
from skillpm.api.estimating import sampler_of
from skillpm.api.options import Options
from skillpm.api.packing import pack_request, parse_options, scheme_of
from skillpm.architecture.ask import ask_facts
from skillpm.checkpoint.model import VerifiedCheckpoint, open_checkpoint
from skillpm.delta.tensors.pairing import Renaming, pair_up
from skillpm.flows.pack.estimate import estimate_models
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.pack.reference import Reference
from skillpm.flows.pack.sampled_run import Spent
from skillpm.flows.pack.unhashed import UnhashedModels, placeholder

if TYPE_CHECKING:
    from benchmarks.llm.commands import Walk
    from benchmarks.llm.runs import Runs
    from skillpm.flows.pack.estimate_values import PackEstimate

SCHEMES: dict[str, tuple[str, ...]] = {
    "lossless": (),
    "lossless, fast": ("--effort", "fast"),
    "lossless, best": ("--effort", "best"),
    "graftllm": ("--scheme", "graftllm"),
    "auto, 5 %": ("--budget", "5%"),
    "auto, 2 %": ("--budget", "2%"),
    "auto, keep 0.99": ("--keep", "0.99"),
    "auto, keep 0.8": ("--keep", "0.8"),
}
CALIBRATED: dict[str, tuple[str, ...]] = {
    "calibrated, 2 %": ("--budget", "2%"),
    "calibrated, keep 0.9": ("--keep", "0.9"),
}
ADAPTER = "adapter (LoRA)"
_LARGE = ("lossless", "lossless, fast", "graftllm", "auto, 5 %", "auto, keep 0.99")


@dataclass(frozen=True)
class Estimated:
    """The dry run of a pack, and the pack, as processes."""

    walk: Walk
    workers: int

    def pair(self, options: tuple[str, ...]) -> dict[str, Cost]:
        """The costs that are estimated, those of the estimate itself, and the measured ones."""
        self.walk.forget()
        file = self.walk.fresh("estimated.skillpack")
        named = ("--name", "acme/llm", "--version", "1.0.0", "-o", str(file))
        models = (str(self.walk.base), str(self.walk.tuned))
        dry = self.walk.skillpm(
            "pack", *models, *named, *options, "--dry-run", workers=self.workers
        )
        plain = dry.document
        memory = plain["memory_bytes"] + (plain["model_bytes"] or 0)
        estimate = Cost(plain["seconds"], plain["processor_seconds"], memory, plain["file_bytes"])
        measured = self.walk.pack(file, *options, workers=self.workers)
        file.unlink()
        return {"estimate": estimate, "dry run": Cost.of(dry), "pack": measured}


def measure(
    walk: Walk, runs: Runs, model: str, schemes: dict[str, tuple[str, ...]], workers: int
) -> None:
    """Run every pair that is missing; each is recorded when it ends."""
    for name, options in schemes.items():
        steps = {kind: Run(model, f"{name}: {kind}", workers, 0) for kind in _KINDS}
        if all(step in runs for step in steps.values()):
            continue
        for kind, cost in Estimated(walk, workers).pair(options).items():
            runs.add(steps[kind], cost)


_KINDS = ("estimate", "dry run", "pack")


def ratio_table(runs: Runs, model: str, schemes: list[str], workers: int) -> Table:
    """Estimate and measured of every scheme, and their ratio."""
    table = Table(
        f"`pack --dry-run` beside `pack`, `{model}`, {workers} workers",
        ("scheme", "MB est.", "MB", "ratio", "CPU s est.", "CPU s", "ratio", "wall s est.",
         "wall s", "ratio", "memory est.", "memory", "ratio", "CPU s of the dry run"),
    )  # fmt: skip
    for name in schemes:
        costs = [runs.cost(model, f"{name}: {kind}", workers) for kind in _KINDS]
        estimate, dry, pack = costs
        if estimate is None or dry is None or pack is None:
            continue
        pairs = (
            (estimate.size, pack.size, lambda size: f"{size / 1e6:.2f}"),
            (estimate.processor, pack.processor, lambda seconds: f"{seconds:.1f}"),
            (estimate.seconds, pack.seconds, lambda seconds: f"{seconds:.1f}"),
            (estimate.peak, pack.peak, megabytes),
        )
        cells = [
            cell
            for ours, real, text in pairs
            for cell in (text(ours), text(real), f"{ours / real:.2f}")
        ]
        table.row(name, *cells, f"{dry.processor:.1f}")
    return table


def eight_b(base: Path, tuned: Path, layers: int, *, ends: bool) -> UnhashedModels:
    """A base and a tuned model of 8B shapes, which repeat the rows of real ones."""
    wanted = shapes(layers, ends=ends)
    source, small = open_checkpoint(base), open_checkpoint(tuned)
    before, after = Shaped(source, wanted), Shaped(small, wanted)
    identity, files = placeholder(before), lambda _name: None
    verified = VerifiedCheckpoint.of(source, identity)
    options = parse_options(_named(base, tuned))
    pairs, _ = pair_up(before.specs, after.specs, cast=False)
    models = ModelPair(
        pack_request(options), Reference(verified, before, (), files, identity), after,
        placeholder(after), tuple(pairs), tuple(pairs), Renaming(), files, ask_facts({}),
    )  # fmt: skip
    size = sum(spec.nbytes for spec in before.specs.values())
    return UnhashedModels(models, {"hashing base": size, "hashing tuned": size})


def _named(base: Path, tuned: Path) -> dict[str, object]:
    return {"base": base, "tuned": tuned, "skill": "acme/llm", "version": "1.0.0"}


def estimate_shapes(
    base: Path, tuned: Path, workers: int, name: str, layers: int, *, ends: bool
) -> tuple[PackEstimate, Spent]:
    """The estimate for 8B shapes, and what it took."""
    started = Spent.now()
    plain = {key.removeprefix("--"): value for key, value in _pairs(SCHEMES[name])}
    values = {**_named(base, tuned), **plain}
    if "keep" in values:
        values["keep"] = float(str(values["keep"]))
    options = parse_options(values)
    with Client(Options(folder=Path.cwd(), workers=workers)) as client:
        models = eight_b(base, tuned, layers, ends=ends)
        sampler = sampler_of(options, scheme_of(options))
        found = estimate_models(client.session, models, sampler, begun=Spent.now())
    return found, Spent.now().since(started)


def _pairs(words: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(words[::2], words[1::2], strict=True))


def large_table(base: Path, tuned: Path, workers: int, layers: int, *, ends: bool) -> Table:
    """The estimates of several schemes for 8B shapes."""
    table = Table(
        f"Estimates for {layers} layers of 8B shapes, {workers} workers",
        ("scheme", "delta", "file", "CPU min", "wall min", "memory", "CPU s of the estimate"),
    )
    for name in _LARGE:
        found, own = estimate_shapes(base, tuned, workers, name, layers, ends=ends)
        minutes = (found.processor_seconds / 60, found.seconds / 60)
        table.row(
            name,
            megabytes(found.delta_bytes),
            megabytes(found.file_bytes),
            *(f"{value:.1f}" for value in minutes),
            megabytes(found.memory_bytes),
            f"{own.processor:.1f}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm.estimates", description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--no-ends", action="store_true", help="leave out embedding and head")
    add_output(parser)
    arguments = parser.parse_args()
    found = large_table(
        arguments.base,
        arguments.tuned,
        arguments.workers,
        arguments.layers,
        ends=not arguments.no_ends,
    )
    publish(found, arguments.append)


if __name__ == "__main__":
    main()
