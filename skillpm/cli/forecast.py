"""Output of a dry run's forecast: what a merge would cost each skill."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import (
    ForecastDocument,
    PairForecastDocument,
    SkillForecastDocument,
)
from skillpm.cli.output import clean, emit_line, emit_lines, emit_table
from skillpm.cli.params import plot_option
from skillpm.cli.state import State
from skillpm.errors import UsageError
from skillpm.pictures.formats import check_picture
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.values import Change
    from skillpm.spec.forecast import Forecast, PairForecast, SkillForecast

EXPLAIN = click.option(
    "--explain", is_flag=True, help="With --dry-run: show the forecast for every pair of skills."
)
PLOT = plot_option("With --dry-run: draw the forecast as a heat map.")
ROWS = 10
"""Pairs that are listed without `--explain`."""
STANDARD_ERRORS = 2.0
"""A cosine within this many standard errors of 0 is marked `(0?)`."""


def check_forecast(*, explain: bool, plot: Path | None, dry_run: bool) -> None:
    """Raise `UsageError` for `--explain` or `--plot` without `--dry-run`, or another ending."""
    for name, given in (("explain", explain), ("plot", plot is not None)):
        if given and not dry_run:
            raise UsageError(f"`--{name}` needs `--dry-run`", hint="add `--dry-run`")
    if plot is not None:
        check_picture(plot)


def plot_forecast(state: State, change: "Change", plot: Path | None) -> None:
    """Draw the forecast of a plan, if a file is asked for."""
    if plot is not None:
        change.plot_forecast(plot)
        state.say(f"wrote {clean(plot)}")


def forecast_document(change: "Change", *, explain: bool) -> ForecastDocument:
    """The forecast as part of a JSON document; empty for a change that was carried out."""
    forecast = change.forecast(all_pairs=explain)
    if forecast is None:
        return {}
    return {
        "forecast": [_pair_document(pair) for pair in forecast.pairs],
        "forecast_skills": [_skill_document(skill) for skill in forecast.skills],
        "forecast_unverified": sorted(change.unverified),
        "forecast_notes": list(forecast.notes),
        "forecast_method": forecast.method,
    }


def _pair_document(pair: "PairForecast") -> PairForecastDocument:
    return {
        "a": str(pair.a),
        "b": str(pair.b),
        "overlap": pair.overlap,
        "cosine": pair.cosine,
        "cosine_error": pair.cosine_error,
        "harm_to_a": pair.harm_to_a,
        "harm_to_b": pair.harm_to_b,
        "level": pair.level,
    }


def _skill_document(skill: "SkillForecast") -> SkillForecastDocument:
    return {"skill": str(skill.skill), "harm": skill.harm, "level": skill.level}


def show_forecast(state: State, change: "Change", *, explain: bool) -> None:
    """Print a table of the pairs, most harm first, and a line for each skill that loses much."""
    forecast = change.forecast(all_pairs=explain)
    if forecast is None:
        return
    if change.unverified:
        names = ", ".join(sorted(change.unverified))
        state.say(
            f"not verified on this base yet: {names}. The forecast uses what the authors state; "
            "`skillpm install` verifies it"
        )
    if not (forecast.pairs or forecast.notes):
        return
    _show_pairs(forecast, change.unverified, explain=explain)
    for note in forecast.notes:
        state.say(note)
    if any(pair.overlap == 0 and pair.level == "unknown" for pair in forecast.pairs):
        state.say(
            "note: skills that share no tensor cannot be compared unless both record a gain "
            "(`pack --probes`); `--guard` measures them"
        )
    _show_harmed(state, change, forecast)


def _show_pairs(forecast: "Forecast", unverified: "Collection[str]", *, explain: bool) -> None:
    if not forecast.pairs:
        return
    listed = forecast.pairs if explain else forecast.pairs[:ROWS]
    emit_lines("\nwhat a merge by `sum` would cost the skills, estimated from their manifests:")
    head = ("a", "b", "overlap", "cosine", "a loses", "b loses", "level")
    emit_table([_row(pair, unverified) for pair in listed], head)
    if len(listed) < len(forecast.pairs):
        more = counted(len(forecast.pairs) - len(listed), "pair")
        emit_line(f"and {more} with the same or less harm; `--explain` shows all")


def _row(pair: "PairForecast", unverified: "Collection[str]") -> tuple[object, ...]:
    claimed = str(pair.a) in unverified or str(pair.b) in unverified
    level = f"{pair.level} (claimed)" if claimed else pair.level
    if pair.cosine is None or pair.cosine_error is None or pair.overlap is None:
        return (pair.a, pair.b, "-", "-", "-", "-", level)
    near_zero = abs(pair.cosine) < STANDARD_ERRORS * pair.cosine_error
    angle = f"{pair.cosine:.2f} ± {pair.cosine_error:.2f}{' (0?)' if near_zero else ''}"
    losses = (_percent(pair.harm_to_a), _percent(pair.harm_to_b))
    return (pair.a, pair.b, _percent(pair.overlap), angle, *losses, level)


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.0f}%" if share <= 1 else ">100%"


def _show_harmed(state: State, change: "Change", forecast: "Forecast") -> None:
    """Print each skill that would lose much of its gain to all others, and what to do."""
    from skillpm.spec.forecast import REMEDIES, share_text

    harmed = [skill for skill in forecast.skills if skill.is_severe]
    for skill in harmed:
        origin = "installed" if str(skill.skill) in change.before else "new"
        emit_line(
            f"{skill.skill} ({origin}) would lose {share_text(skill.harm)} of its gain "
            f"to all other skills together: {skill.level}"
        )
    if harmed:
        state.say(f"remedies: {REMEDIES}")
