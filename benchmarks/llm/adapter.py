"""Figure 5: a rank-16 LoRA of the base: pack and graft, beside PEFT's and mergekit's merge."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.llm.runs import Cost, Run
from benchmarks.lora.peers import mergekit_merge, peft_merge
from benchmarks.tools.table import Table, megabytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.llm.commands import Walk
    from benchmarks.llm.runs import Runs

PACK, GRAFT, PEFT, MERGEKIT = "pack", "graft", "PEFT merge and save", "mergekit"
AGAIN = "pack, second adapter"
MODEL = "LoRA"


def measure(walk: Walk, runs: Runs, *, times: int, mergekit: str | None) -> None:
    """Run every method the asked number of times; `walk.tuned` is the adapter."""
    steps: dict[str, Callable[[Walk], Cost]] = {PACK: pack, AGAIN: again, GRAFT: graft, PEFT: peft}
    if mergekit:
        steps[MERGEKIT] = partial(merged_by_mergekit, program=mergekit)
    for number in range(times):
        for step, command in steps.items():
            run = Run(MODEL, step, 1, number)
            if run not in runs:
                runs.add(run, command(walk))
                print(f"{MODEL}: {step}", file=sys.stderr, flush=True)


def pack(walk: Walk) -> Cost:
    """Pack the adapter; transformers is imported to learn the layout of the model class."""
    return walk.pack(walk.packed, workers=1)


def again(walk: Walk) -> Cost:
    """Pack the adapter with a home that has the layout, as every later adapter of this base is.

    Both models are hashed as before: the cached leaves are removed.
    """
    shutil.rmtree(walk.home / "cache" / "leaves", ignore_errors=True)
    walk.packed.unlink(missing_ok=True)
    return walk.pack_here(walk.packed, workers=1)


def graft(walk: Walk) -> Cost:
    """Graft the installed adapter; `init` has hashed the base."""
    file = walk.lossless()
    walk.forget()
    project = walk.fresh("project")
    project.mkdir()
    walk.skillpm("init", "--base", str(walk.base), workers=1, cwd=project)
    walk.skillpm("install", str(file), workers=1, cwd=project)
    ran = walk.skillpm("graft", workers=1, cwd=project)
    shutil.rmtree(project)
    return Cost.of(ran, size=ran.document["written_bytes"])


def peft(walk: Walk) -> Cost:
    """PEFT's merge, saved by transformers."""
    out = walk.fresh("peft")
    ran = peft_merge(walk.base, walk.tuned, out)
    return Cost.of(ran, size=_remove(out))


def merged_by_mergekit(walk: Walk, *, program: str) -> Cost:
    """The merge of mergekit."""
    out = walk.fresh("mergekit")
    ran = mergekit_merge(program, walk.base, walk.tuned, out)
    return Cost.of(ran, size=_remove(out))


def _remove(folder: Path) -> int:
    """Remove a written model; return the bytes that it had."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    shutil.rmtree(folder)
    return size


def table(runs: Runs) -> Table:
    """Times and peaks, as ratios to the graft's."""
    columns = ("command", "CPU s", "to graft", "wall s", "peak memory", "to graft", "MB written")
    found = Table("A rank-16 LoRA on all linear layers of SmolLM2-135M, one worker", columns)
    ours = runs.cost(MODEL, GRAFT, 1)
    for step in runs.steps(MODEL):
        cost = runs.cost(MODEL, step, 1)
        assert cost is not None
        assert ours is not None
        found.row(
            step,
            f"{cost.processor:.1f}",
            f"{cost.processor / ours.processor:.1f}",
            f"{cost.seconds:.1f}",
            megabytes(cost.peak),
            f"{cost.peak / ours.peak:.1f}",
            f"{cost.size / 1e6:.1f}",
        )
    return found
