"""Transfer two skills, publish, install and route them, compare general answers, and roll back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from examples.errors import DemoError
from examples.transfer.dates import dates
from examples.transfer.general import questions
from examples.transfer.inputs import DATES, SQL
from examples.transfer.live import Answered, Asked, answer_all, count_right
from examples.transfer.text_to_sql import held_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.journey.command import Skillpm

ASKED = 10
"""Questions of each kind that the installed skills answer."""
UNASKED = 12
"""General questions, counted from the last, which no transfer reads."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result."""

    what: str
    holds: bool


@dataclass
class Journey:
    """What the commands gave: reports of the transfers, live answers, and checks."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)
    right: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def check(self, what: str, *, holds: bool) -> None:
        """Add the result of a check."""
        self.checks.append(Check(what, holds))


def travel(skillpm: Skillpm, files: dict[str, Path]) -> Journey:
    """Run all steps in the project of `skillpm`; `files` are the transfer files by skill."""
    journey = Journey()
    skillpm("init", "--base", "../smollm2")
    for skill, file in files.items():
        report = journey.reports[skill] = transfer(skillpm, file)
        skillpm("publish", str(report["pack"]["path"]))
    _set_routed(skillpm)
    for skill in files:
        skillpm.show("install", skill)
    tuned = {skill: _tuned_root(skillpm, report) for skill, report in journey.reports.items()}
    roots = {skill: _root_alone(skillpm, skill) for skill in files}
    journey.check("base + pack = transferred model, bit for bit", holds=roots == tuned)
    first = held_out(ASKED)[0].prompt
    skillpm.show("route", "--explain", first)
    _ask(journey, skillpm)
    skillpm.show("rollback")
    alone = answer_all(skillpm.project, skillpm.home, [Asked("text-to-SQL", SQL, (first,))])
    before = next(each for each in journey.answered if each.asked.skill == SQL)
    journey.check(
        "after the rollback, the first skill answers as before",
        holds=alone[0].answers == before.answers[:1] and alone[0].chosen == (SQL,),
    )
    return journey


def transfer(skillpm: Skillpm, file: Path) -> dict[str, Any]:
    """Run a transfer, print its tables, and return its report."""
    name = file.parent.name
    skillpm.show("transfer", f"../{name}/{file.name}", "--plot", f"../{name}.png")
    for path in (skillpm.home / "transfer").glob("*/report.json"):
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if report["pack"] and report["pack"]["skill"].endswith(f"/{name}"):
            return report
    raise DemoError(f"the transfer of {name} left no report")


def _set_routed(skillpm: Skillpm) -> None:
    file = skillpm.project / "skillpm.toml"
    skillpm.console.print('skillpm.toml: [graft] mode = "routed"', markup=False)
    file.write_text(file.read_text("utf-8") + '\n[graft]\nmode = "routed"\n', "utf-8")


def _tuned_root(skillpm: Skillpm, report: dict[str, Any]) -> str:
    return str(skillpm("identify", report["tuned"])["root"])


def _root_alone(skillpm: Skillpm, skill: str) -> str:
    """The root of the base with one skill, as the router uses it."""
    folder = f"only-{skill.partition('/')[2]}"
    return str(skillpm("graft", "--only", skill, "-o", folder)["root"])


def _ask(journey: Journey, skillpm: Skillpm) -> None:
    """Ask both skills and the base; compare general answers with those of the base alone."""
    sql, days = held_out(ASKED), dates(ASKED, seed="asked")
    general = list(questions())[-UNASKED:]
    asked = [
        Asked("text-to-SQL", SQL, tuple(item.prompt for item in sql)),
        Asked("dates", DATES, tuple(item.prompt for item in days)),
        Asked("general", None, tuple(general)),
    ]
    journey.answered = answer_all(skillpm.project, skillpm.home, asked)
    by_skill = {each.asked.skill: each for each in journey.answered}
    for skill, items in ((SQL, sql), (DATES, days)):
        journey.right[skill] = count_right(items, by_skill[skill].answers)
    journey.check(
        "each question is answered by the right skill, or by the base",
        holds=all(each.routed >= len(each.chosen) - 1 for each in journey.answered),
    )
    journey.check(
        "general answers are those of the base, word for word",
        holds=by_skill[None].answers == _base_answers(skillpm, general),
    )


def _base_answers(skillpm: Skillpm, general: Sequence[str]) -> tuple[str, ...]:
    """Answers in a project without skills."""
    bare = type(skillpm)(
        project=skillpm.project.parent / "bare", home=skillpm.home, console=skillpm.console
    )
    bare.project.mkdir(exist_ok=True)
    bare("init", "--base", "../smollm2")
    asked = [Asked("general", None, tuple(general))]
    return answer_all(bare.project, bare.home, asked)[0].answers
