"""Install ten skills in sequence with `--guard`, then uninstall one; the other nine are unchanged.

`python -m examples.continual` takes a few minutes; `--skills 3` takes less. All output is written
to `demo/continual/`.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
# Threads that spin while they wait slow down a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import argparse
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console

from examples.continual.journey import Year, live
from examples.continual.report import summary
from examples.continual.school import base
from examples.continual.texts import KINDS
from examples.errors import DemoError
from examples.journey.command import Skillpm, script
from examples.journey.progress import watching

FOLDER = Path(__file__).resolve().parents[2] / "demo" / "continual"
WIDTH_WITHOUT_TERMINAL = 100


def main() -> int:
    """Run the example; return 0 only if every check holds and every probe passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skills", type=int, choices=range(3, len(KINDS) + 1), default=len(KINDS))
    count = parser.parse_args().skills
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    try:
        return _example(console, list(KINDS)[:count])
    except DemoError as error:
        console.print(f"error: {error}", style="bold red", markup=False)
        return 1


def _example(console: Console, kinds: list[str]) -> int:
    started = time.monotonic()
    # A missing command is reported now, not after a minute of training.
    script()
    for name in ("project", "again", "home", "tuned", "files"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    for name in ("project", "again"):
        (FOLDER / name).mkdir(parents=True)
    console.print("a base learns Python sources; every skill is tuned from this base")
    with watching(Console(stderr=True)) as advance:
        base(FOLDER, advance)
    ours = Skillpm(project=FOLDER / "project", home=FOLDER / "home", console=console)
    theirs = Skillpm(project=FOLDER / "again", home=FOLDER / "home", console=console)
    year = live(FOLDER, ours, theirs, kinds)
    console.print(summary(year, seconds=time.monotonic() - started))
    return _verdict(year)


def _verdict(year: Year) -> int:
    failed = [check.what for check in year.checks if not check.holds]
    if failed:
        raise DemoError("this does not hold: " + "; ".join(failed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
