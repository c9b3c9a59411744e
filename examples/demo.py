"""From a tuned model to a skill that is installed, grafted and uninstalled: `make demo`.

All output is written to `demo/`. The commands are the real ones, run as from a shell.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from examples.code_search.evaluate import mrr
from examples.code_search.prepare import Prepared, prepare
from examples.code_search.settings import DEMO
from examples.errors import DemoError
from examples.journey.command import Skillpm, script
from examples.journey.progress import watching
from examples.journey.report import farewell, show_lock, summary
from examples.journey.steps import travel
from examples.journey.terminal import run_example

FOLDER = Path(__file__).resolve().parent.parent / "demo"


def main() -> int:
    """Run the demo; return 0 only if every root check holds and the training helped."""
    return run_example(_demo, hint="`make demo` goes on with the models that are finished")


def _demo(console: Console) -> int:
    started = time.monotonic()
    skillpm = _clean_start(console)
    bars = Console(stderr=True)
    console.print("reading functions of the standard library, then training on a part of them")
    with watching(bars) as advance:
        prepared = prepare(FOLDER, settings=DEMO, advance=advance)
    _describe(console, prepared)

    def measure(folder: Path) -> float:
        with watching(bars) as advance:
            found = mrr(folder, prepared.corpus.held_out, advance=advance)
        console.print(f"  MRR {found:.4f} ({folder.name})")
        return found

    base_mrr, tuned_mrr = measure(prepared.base), measure(prepared.tuned)
    if tuned_mrr <= base_mrr:
        raise DemoError("the training did not help, so there is no skill to pack")
    console.print("\nEach command below also gets --json, so that this script can read it.\n")
    journey = travel(skillpm, prepared, measure=measure)
    show_lock(console, skillpm.project)
    skillpm.show("history")
    seconds = time.monotonic() - started
    console.print(
        summary(prepared, journey, base_mrr=base_mrr, tuned_mrr=tuned_mrr, seconds=seconds)
    )
    failed = [check.what for check in journey.checks if not check.holds]
    if failed:
        raise DemoError("roots differ: " + "; ".join(failed))
    farewell(console, skillpm)
    return 0


def _clean_start(console: Console) -> Skillpm:
    """Remove the output of an earlier run, except the models; `prepare` checks their content."""
    # A missing command is reported now, not after minutes of training.
    script()
    project, home = FOLDER / "project", FOLDER / "home"
    for folder in (project, home):
        if folder.exists():
            shutil.rmtree(folder)
    project.mkdir(parents=True)
    return Skillpm(project=project, home=home, console=console)


def _describe(console: Console, prepared: Prepared) -> None:
    corpus = prepared.corpus
    console.print(f"data {corpus.digest}")
    share = f"{DEMO.passes:.0%} of {len(corpus.train)} functions"
    console.print(f"  trained on {share}, {len(corpus.held_out)} held out")
    if prepared.reused:
        console.print("  data, settings and base are unchanged: the tuned model is reused")
    else:
        console.print(f"  trained in {prepared.seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
