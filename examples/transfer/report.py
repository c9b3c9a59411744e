"""The summary that the demo prints at its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rich.table import Table

from examples.journey.command import path_line

if TYPE_CHECKING:
    from rich.console import Console

    from examples.journey.command import Skillpm
    from examples.transfer.journey import Journey


def summary(journey: Journey, *, seconds: float) -> Table:
    """One row per skill, with its transfer and its live answers."""
    table = Table(title="skills transferred to SmolLM2-135M-Instruct")
    table.add_column("skill")
    for heading in ("from", "source", "base", "tuned", "general", "live", "file", "s"):
        table.add_column(heading, justify="right")
    for skill, report in journey.reports.items():
        table.add_row(skill, *_figures(report), _live(journey, skill), *_sizes(report))
    table.caption = (
        "source, base, tuned: right held-out items; general: general answers that are kept; "
        "live: right answers of the installed skill, routed; s: seconds of the transfer. "
        f"The whole run took {seconds:.0f} s."
    )
    return table


def _figures(report: dict[str, Any]) -> list[str]:
    (source,) = report["sources"]
    before, after = report["before"], report["after"]
    kind = source["source"].partition(" ")[0]
    shares = (source["skill"], before["skill"], after["skill"], after["general"])
    return [kind, *(f"{100 * share:.0f} %" for share in shares)]


def _live(journey: Journey, skill: str) -> str:
    asked = next(each for each in journey.answered if each.asked.skill == skill)
    return f"{journey.right[skill]} of {len(asked.answers)}"


def _sizes(report: dict[str, Any]) -> list[str]:
    seconds = sum(stage["seconds"] for stage in report["stages"])
    return [f"{report['pack']['file_bytes'] / 1e6:.1f} MB", f"{seconds:.0f}"]


def farewell(console: Console, skillpm: Skillpm) -> None:
    """Print commands to continue with in the project."""
    console.print("\nThe project is yours. Go on with:\n", highlight=False)
    for line in (
        f"{path_line()}   # puts skillpm on the PATH of this shell",
        f"cd {os.path.relpath(skillpm.project)}",
        'export SKILLPM_HOME="$PWD/../home"',
        'skillpm route "Table ships (name, kind, age, speed).\\nCount the ships."',
        "skillpm transfer ../text-to-sql/transfer.toml --dry-run   # nothing is left to pay for",
        "skillpm inspect acme-text-to-sql-1.0.0.skillpack",
        "skillpm audit",
    ):
        console.out(f"  {line}", highlight=False)
