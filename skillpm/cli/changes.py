"""How a change of the environment is shown."""

from typing import TYPE_CHECKING, Any

from skillpm.cli.forecast import forecast_plain, show_forecast
from skillpm.cli.output import emit_json, emit_line, size_text
from skillpm.cli.state import State

if TYPE_CHECKING:
    from skillpm.environment.generation import Entry
    from skillpm.flows.change.plan import ChangeResult


def show_change(state: State, done: "ChangeResult", *, explain: bool = False) -> None:
    """Say what changed, or would: as a document, or as lines of `+`, `-` and `~`.

    What would change comes with a forecast: of every pair of skills, where one is to `explain`.
    """
    for note in done.notes:
        state.say(note)
    if state.json:
        parts = {"added": done.added, "removed": done.removed, "changed": done.changed}
        document: dict[str, Any] = {key: [plain(one) for one in p] for key, p in parts.items()}
        head = {"generation": done.generation, "kept": done.kept, "dry_run": done.dry_run}
        plan = {"plan": done.saved.to_dict()} if done.saved else {"fetched_bytes": done.fetched}
        harms = forecast_plain(done, explain=explain)
        emit_json({**document, **head, "notes": list(done.notes), **plan, **harms})
        return
    for sign, several in (("+", done.added), ("-", done.removed)):
        for one in several:
            emit_line(f" {sign} {one.skill} {one.version}")
    for new in done.changed:
        emit_line(f" ~ {new.skill} {moves(done.before[new.skill], new)}")
    changes = len(done.added) + len(done.removed) + len(done.changed)
    would = "would be " if done.dry_run else ""
    if changes:
        fetched = f"; fetched {size_text(done.fetched)} of {size_text(done.size)}"
        told = fetched if done.fetched else ""
        emit_line(f"generation {done.generation} {would}current; {done.kept} kept{told}")
    else:
        told = "no skill changes" if done.moved else "nothing to change"
        emit_line(f"{told}; generation {done.generation} {would}current")
    show_forecast(state, done, explain=explain)


def moves(old: "Entry", new: "Entry") -> str:
    """From where to where a skill moves: version, or pack, or weight."""
    moved = f"{new.version}" if old.version == new.version else f"{old.version} -> {new.version}"
    if old.version == new.version and old.digest != new.digest:
        moved += f" (pack {old.digest.short} -> {new.digest.short})"
    if old.weight != new.weight:
        moved += f" (weight {old.weight} -> {new.weight})"
    return moved


def plain(one: "Entry") -> dict[str, str]:
    """A release as documents list it."""
    return {"skill": str(one.skill), "version": str(one.version), "digest": str(one.digest)}
