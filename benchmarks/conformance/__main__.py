"""Run the conformance loop for every architecture and print a table.

`python -m benchmarks.conformance [NAME…] [--write docs/reference/compatibility.md]` runs all
architectures, or the named ones. The exit code is 1 if a step is wrong; a refusal with a reason is
not wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.conformance.architectures import ARCHITECTURES
from benchmarks.conformance.loop import Outcome, run_loop

MARKS = ("<!-- conformance: begin -->", "<!-- conformance: end -->")
STEPS = ("lossless", "keep 0.95", "LoRA: all-linear", "LoRA: embedding", "LoRA: head", "export")


def main() -> int:
    """Run the loop, print the table, and write it to the page of `--write`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of architectures (default: all)")
    parser.add_argument("--write", type=Path, help="page in which the table is replaced")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    log: Any = transformers.utils.logging
    log.set_verbosity_error()
    log.disable_progress_bar()
    started, rows = time.process_time(), dict[str, list[Outcome]]()
    for name in arguments.names or ARCHITECTURES:
        folder = Path(tempfile.mkdtemp(prefix="skillpm-conformance-"))
        rows[name] = run_loop(ARCHITECTURES[name], folder / "run")
        folder.rmdir()
        for each in rows[name]:
            print(f"{name:14} {each.step:18} {each.status:8} {each.detail}", flush=True)
    seconds = time.process_time() - started
    if arguments.write:
        write_table(arguments.write, rows, seconds)
    wrong = sum(each.status == "wrong" for outcomes in rows.values() for each in outcomes)
    print(f"{len(rows)} architectures, {wrong} steps wrong, {seconds:.0f} s of processor time")
    return min(wrong, 1)


def write_table(page: Path, rows: dict[str, list[Outcome]], seconds: float) -> None:
    """Replace the text between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    page.write_text(
        f"{before}{MARKS[0]}\n{table_of(rows, seconds)}{MARKS[1]}{after}", encoding="utf-8"
    )


def table_of(rows: dict[str, list[Outcome]], seconds: float) -> str:
    """The table in Markdown, followed by the reason of each refusal."""
    lines = [f"| architecture | {' | '.join(STEPS)} |", f"|---|{'---|' * len(STEPS)}"]
    notes: list[str] = []
    for name, outcomes in rows.items():
        by_step = {each.step: each for each in outcomes}
        cells = [_cell(by_step.get(step), notes, name) for step in STEPS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), ""]
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    lines.append(f"Run time: {seconds:.0f} s of processor time on one thread, with {versions}.")
    return "\n".join(lines) + "\n"


def _cell(outcome: Outcome | None, notes: list[str], name: str) -> str:
    if outcome is None:
        return "–"
    if outcome.status == "right":
        return outcome.detail
    notes.append(f"{name}, {outcome.step}: {outcome.detail}")
    return f"{outcome.status} ({len(notes)})"


if __name__ == "__main__":
    sys.exit(main())
