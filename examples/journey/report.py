"""The output at the end of the demo: the lock, the table, and further commands."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from rich.table import Table

from examples.journey.command import path_line, scripts
from examples.journey.steps import GRAFTLLM, LOSSLESS, SKILL

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from examples.code_search.prepare import Prepared
    from examples.journey.command import Skillpm
    from examples.journey.steps import Check, Journey


def show_lock(console: Console, project: Path) -> None:
    """Print the lock file."""
    console.print("$ cat skillpm.lock", style="bold", highlight=False)
    console.out((project / "skillpm.lock").read_text(encoding="utf-8").rstrip(), highlight=False)


def summary(
    prepared: Prepared, journey: Journey, *, base_mrr: float, tuned_mrr: float, seconds: float
) -> Table:
    """Return the table that summarises the run."""
    checkpoint = (prepared.tuned / "model.safetensors").stat().st_size
    table = Table(title=f"code search, {len(prepared.corpus.held_out)} held-out functions")
    table.add_column("model")
    for heading in ("MRR", "gain", "file", "ratio", "s"):
        table.add_column(heading, justify="right")
    table.add_column("root check")
    table.add_row("base", f"{base_mrr:.4f}")
    trained = f"{prepared.seconds:.1f}"
    table.add_row("tuned", f"{tuned_mrr:.4f}", "100.0 %", _mega(checkpoint), "1.0x", trained)
    verdicts = {LOSSLESS: _verdict(journey.exact, "= tuned")}
    for version, scheme in ((LOSSLESS, "lossless"), (GRAFTLLM, "graftllm")):
        pack, found = journey.packs[version], journey.grafts[version].mrr
        table.add_row(
            f"{version} {scheme}",
            f"{found:.4f}",
            f"{100 * (found - base_mrr) / (tuned_mrr - base_mrr):.1f} %",
            _mega(pack.size),
            f"{checkpoint / pack.size:.1f}x",
            f"{pack.seconds:.1f}",
            verdicts.get(version, ""),
        )
    table.add_row("after uninstall", *[""] * 5, _verdict(journey.undone, "= base"))
    table.add_row("after rollback", *[""] * 5, _verdict(journey.restored, "= before"))
    table.caption = _caption(prepared, seconds=seconds)
    return table


def _caption(prepared: Prepared, *, seconds: float) -> str:
    training = " by an earlier run" if prepared.reused else ""
    return (
        "gain: share of the tuned model's gain over the base; "
        f"ratio: checkpoint to file; s: seconds to train{training} or to pack. "
        f"The whole run took {seconds:.0f} s."
    )


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _verdict(check: Check, what: str) -> str:
    return f"{what}: {'yes' if check.holds else 'NO'}"


def farewell(console: Console, skillpm: Skillpm) -> None:
    """Print how to go on in the project: the line for the PATH, the folder, and commands to try."""
    place = os.path.relpath(skillpm.project)
    lines = [
        f"cd {shlex.quote(place)}",
        'export SKILLPM_HOME="$PWD/../home"    # the packs of this demo, apart from your own',
        "skillpm list                          # what is installed",
        "skillpm rollback 1 && skillpm graft   # the lossless version again, bit for bit",
        f"skillpm uninstall {SKILL} && skillpm graft   # the base itself",
    ]
    if shutil.which("skillpm") != str(scripts() / "skillpm"):
        lines.insert(0, f"{path_line()}   # puts skillpm on the PATH of this shell")
    console.out(f"\nThe folder {place} is a project to play in:\n", highlight=False)
    for line in lines:
        console.out(f"  {line}", highlight=False)
    more = ("history", "audit", "doctor", "inspect acme-code-search-1.1.0.skillpack")
    listed = ", ".join(f"`skillpm {command}`" for command in more)
    console.out(f"\nMore: {listed}. `skillpm --help` lists all commands.", highlight=False)
