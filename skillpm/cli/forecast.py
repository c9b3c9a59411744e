"""How the forecast of a dry run is shown: which skills a merge would hurt."""

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import emit_line, emit_lines, emit_table
from skillpm.cli.state import State
from skillpm.errors import UsageError
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.flows.change.plan import ChangeResult
    from skillpm.spec.forecast import Forecast, PairForecast
    from skillpm.spec.names import SkillName

EXPLAIN = click.option(
    "--explain", is_flag=True, help="With --dry-run: forecast every pair of skills of the set."
)
ROWS = 10
TOLD_APART = 2.0


def check_explain(flags: dict[str, bool]) -> bool:
    """Take `explain` out of the flags; `UsageError` where there is no dry run to explain."""
    explain = flags.pop("explain")
    if explain and not flags["dry_run"]:
        raise UsageError("`--explain` explains a dry run", hint="add `--dry-run`")
    return explain


def _forecast(done: "ChangeResult", *, explain: bool) -> "Forecast | None":
    if done.forecast is None:
        return None
    return done.forecast(None if explain else [one.skill for one in (*done.added, *done.changed)])


def forecast_plain(done: "ChangeResult", *, explain: bool) -> dict[str, Any]:
    """The forecast as documents hold it; nothing where the change was carried out."""
    found = _forecast(done, explain=explain)
    if found is None:
        return {}
    pairs = [{**asdict(pair), "a": str(pair.a), "b": str(pair.b)} for pair in found.pairs]
    skills = [{**asdict(one), "skill": str(one.skill)} for one in found.skills]
    notes = list(found.notes)
    told = {"forecast_notes": notes, "forecast_method": found.method}
    unverified = sorted(map(str, done.unverified))
    return {"forecast": pairs, "forecast_skills": skills, "forecast_unverified": unverified, **told}


def show_forecast(state: State, done: "ChangeResult", *, explain: bool) -> None:
    """A table of the pairs, the worst first, and a line for each skill that would be hurt."""
    found = _forecast(done, explain=explain)
    if found is None:
        return
    if done.unverified:
        names = ", ".join(map(str, sorted(done.unverified)))
        state.say(
            f"not verified on this base: {names}; sizes, sketches and gains are as their authors "
            "claim, and `skillpm install` verifies them first"
        )
    if not (found.pairs or found.notes):
        return
    if found.pairs:
        shown = found.pairs if explain else found.pairs[:ROWS]
        emit_lines("\nwhat a merge by `sum` would cost, forecast from the manifests alone:")
        head = ("a", "b", "overlap", "cosine", "a loses", "b loses", "level")
        emit_table([_row(pair, done.unverified) for pair in shown], head)
        if len(shown) < len(found.pairs):
            more = len(found.pairs) - len(shown)
            emit_line(f"and {counted(more, 'pair')} with no more harm: `--explain` shows all")
    for note in found.notes:
        state.say(note)
    if any(pair.overlap == 0 and pair.level == "unknown" for pair in found.pairs):
        state.say(
            "note: skills that share no tensor cannot be compared unless both record a gain "
            "(`pack --probes`); `--guard` measures them"
        )
    _show_hurt(state, done, found)


def _row(pair: "PairForecast", unverified: "Collection[SkillName]") -> tuple[object, ...]:
    claimed = pair.a in unverified or pair.b in unverified
    level = f"{pair.level} (claimed)" if claimed else pair.level
    if pair.cosine is None or pair.cosine_error is None or pair.overlap is None:
        return (pair.a, pair.b, "-", "-", "-", "-", level)
    near = abs(pair.cosine) < TOLD_APART * pair.cosine_error
    angle = f"{pair.cosine:.2f} ± {pair.cosine_error:.2f}{' (0?)' if near else ''}"
    losses = (_percent(pair.harm_to_a), _percent(pair.harm_to_b))
    return (pair.a, pair.b, _percent(pair.overlap), angle, *losses, level)


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.0f}%" if share <= 1 else ">100%"


def _show_hurt(state: State, done: "ChangeResult", found: "Forecast") -> None:
    """The skills that would lose much to all others together, and the ways out."""
    from skillpm.spec.forecast import REMEDIES, share_text

    hurt = [one for one in found.skills if one.is_severe]
    for one in hurt:
        whose = "installed" if one.skill in done.before else "new"
        emit_line(
            f"{one.skill} ({whose}) would lose {share_text(one.harm)} of its gain "
            f"to the others together: {one.level}"
        )
    if hurt:
        state.say(f"ways out: {REMEDIES}")
