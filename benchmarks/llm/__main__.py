"""Figures 1, 2, 5 and 6 of a real LLM: what packs of SmolLM2-135M's fine-tune cost.

`python -m benchmarks.llm [costs|scale|adapter|codecs|fidelity|estimates]… [--tune sql]` measures
the named parts, by default all: commands on the fine-tune; commands on its layers repeated to 1 GB;
a LoRA beside PEFT and mergekit; codecs beside zipnn; what packs keep of the fine-tune; estimates of
`pack --dry-run` beside packs. Missing fine-tunes are trained first. Every command is recorded when
it ends, so an interrupted run continues; `--again` starts over. Results belong to the code and the
models that made them. Only ratios within one run are comparable. Needs `make llm`, 8 GB on disk
and, for fidelity, 8 GB of memory.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.llm import adapter, commands, costs, estimates
from benchmarks.llm.places import CACHE, WEIGHTS, calibration, code_digest, digest_of, model
from benchmarks.llm.runs import Runs
from benchmarks.llm.settings import LORA, TUNINGS
from benchmarks.tools.running import run
from benchmarks.tools.table import add_output, publish

PARTS = ("costs", "scale", "adapter", "codecs", "fidelity", "estimates")
LARGE = 10**9


@dataclass(frozen=True)
class Bench:
    """One fine-tune, and where its results are."""

    cache: Path
    tune: str
    folder: Path
    runs: Runs
    arguments: argparse.Namespace

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Bench:
        """Make missing models; results are kept by the digest of code and models."""
        cache, tune = arguments.cache.absolute(), arguments.tune
        commands.make_models(cache, tune)
        key = hashlib.sha256(code_digest().encode())
        for name in ("base", tune):
            key.update(digest_of(model(cache, name) / WEIGHTS).encode())
        folder = cache / "runs" / f"{tune}-{key.hexdigest()[:12]}"
        if arguments.again:
            shutil.rmtree(folder, ignore_errors=True)
        return cls(cache, tune, folder, Runs(folder / "runs.jsonl"), arguments)

    @property
    def walk(self) -> commands.Walk:
        """The fine-tune."""
        text = calibration(self.cache, TUNINGS[self.tune].task)
        base, tuned = model(self.cache, "base"), model(self.cache, self.tune)
        return commands.Walk(self.folder / "tune", base, tuned, text)

    @property
    def course(self) -> costs.Course:
        """All steps on the fine-tune."""
        steps = [commands.SHORT[step] for step in self.arguments.steps.split(",")]
        return costs.Course(self.tune, steps, _workers(self.arguments.workers), self.arguments.runs)

    def costs(self) -> None:
        """Figure 1."""
        costs.measure(self.walk, self.course, self.runs)
        title = f"SmolLM2-135M, fine-tune `{self.tune}`, bf16"
        publish(costs.cost_table(self.runs, self.course, title), self.arguments.append)

    def scale(self) -> None:
        """Figure 2: the lossless commands and the budget, with all workers and with one."""
        folder, size = self.folder / "large", self.arguments.bytes
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            script = (sys.executable, "-m", "benchmarks.llm.repeated")
            run(*script, str(self.walk.base), str(self.walk.tuned), str(folder), str(size))
            (folder / "made").touch()
        walk = commands.Walk(
            folder, folder / "base", folder / "tuned", calibration=self.walk.calibration
        )
        steps = [step for step in self.course.steps if step != commands.CALIBRATED]
        large = costs.Course(f"{self.tune}, repeated", steps, self.course.workers, 1)
        costs.measure(walk, large, self.runs)
        sizes = [(each.tuned / WEIGHTS).stat().st_size for each in (self.walk, walk)]
        title = f"SmolLM2's layers repeated to {sizes[1] / 1e6:,.0f} MB, fine-tune `{self.tune}`"
        publish(costs.cost_table(self.runs, large, title), self.arguments.append)
        found = costs.scale_table(self.runs, self.course, large, (sizes[0], sizes[1]))
        publish(found, self.arguments.append)

    def adapter(self) -> None:
        """Figure 5."""
        commands.make_models(self.cache, LORA.name)
        base, tuned = model(self.cache, "base"), model(self.cache, LORA.name)
        walk = commands.Walk(self.folder / "lora", base, tuned, self.walk.calibration)
        walk.folder.mkdir(parents=True, exist_ok=True)
        times, mergekit = self.arguments.runs, self.arguments.mergekit
        adapter.measure(walk, self.runs, times=times, mergekit=mergekit)
        publish(adapter.table(self.runs), self.arguments.append)

    def codecs(self) -> None:
        """Figure 6, from the packs that `costs` has made; makes the lossless one if it is missing.

        Runs in another process, which keeps this one small: a child's peak includes its parent's.
        """
        self.walk.folder.mkdir(parents=True, exist_ok=True)
        self.walk.lossless()
        packs = sorted(self.walk.folder.glob("*.skillpack"))
        self._python("benchmarks.llm.codecs", self.walk.base, self.walk.tuned, *packs)

    def fidelity(self) -> None:
        """Figure 4."""
        before = self.arguments.before
        options = () if before is None else ("--before", before)
        self._python(
            "benchmarks.llm.fidelity", "--cache", self.cache, "--only", self.tune, *options
        )

    def estimates(self) -> None:
        """What `pack --dry-run` estimates beside what `pack` takes, for every scheme."""
        walk, name, workers = self.walk, self.tune, max(self.course.workers)
        walk.folder.mkdir(parents=True, exist_ok=True)
        walk.lossless()  # has kernels compiled
        estimates.measure(walk, self.runs, name, estimates.SCHEMES, workers)
        text = ("--calibration", str(walk.calibration))
        calibrated = {key: (*value, *text) for key, value in estimates.CALIBRATED.items()}
        if not self.arguments.no_calibration:
            estimates.measure(walk, self.runs, name, calibrated, workers)
        commands.make_models(self.cache, LORA.name)
        adapted = replace(walk, tuned=model(self.cache, LORA.name))
        estimates.measure(adapted, self.runs, name, {estimates.ADAPTER: ()}, workers)
        schemes = [*estimates.SCHEMES, *calibrated, estimates.ADAPTER]
        found = estimates.ratio_table(self.runs, name, schemes, workers)
        publish(found, self.arguments.append)

    def _python(self, module: str, *arguments: object) -> None:
        append = self.arguments.append
        extra = () if append is None else ("--append", str(append))
        print(run(sys.executable, "-m", module, *map(str, arguments), *extra).out)


def _workers(asked: str | None) -> list[int]:
    if asked is None:
        return sorted({1, os.cpu_count() or 1})
    return sorted({int(number) for number in asked.split(",")})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--tune", default="sql", choices=TUNINGS, help="the fine-tune to pack")
    parser.add_argument("--steps", default=",".join(commands.SHORT), help="steps of costs")
    parser.add_argument("--workers", help="numbers of workers, such as 1,2 (default: 1 and all)")
    parser.add_argument("--runs", type=int, default=3, help="repetitions of each command")
    parser.add_argument("--bytes", type=int, default=LARGE, help="size of the repeated model")
    parser.add_argument("--mergekit", help="the `mergekit-yaml` of a separate environment")
    parser.add_argument("--before", metavar="PROGRAM", help="the `skillpm` of another checkout")
    parser.add_argument(
        "--no-calibration", action="store_true", help="estimates: leave out calibrated packs"
    )
    parser.add_argument("--again", action="store_true", help="measure everything again")
    parser.add_argument("--cache", type=Path, default=CACHE)
    add_output(parser)
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    bench = Bench.of(arguments)
    for part in arguments.parts or PARTS:
        getattr(bench, part)()


if __name__ == "__main__":
    main()
