"""Output of commands that change the environment: what was added, removed and changed."""

from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.cli.documents import SkillDocument
from skillpm.cli.forecast import forecast_document, plot_forecast, show_forecast
from skillpm.cli.output import emit_json, emit_line, size_text
from skillpm.cli.result_documents import ChangeDocument
from skillpm.cli.state import State
from skillpm.spec.digests import Digest
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.values import Change, InstalledSkill
    from skillpm.environment.generation import Entry


def show_change(
    state: State, change: "Change", *, explain: bool = False, plot: Path | None = None
) -> None:
    """Print a change or a plan: one JSON document, or a line with `+`, `-` or `~` for each skill.

    A plan comes with a forecast. With `explain`, it covers every pair of skills; with `plot`, it is
    drawn to that file first.
    """
    plot_forecast(state, change, plot)
    for note in change.notes:
        state.say(note)
    if state.json:
        _emit_change(change, explain=explain)
        return
    for sign, skills in (("+", change.added), ("-", change.removed)):
        for skill in skills:
            weight = f" (weight {skill.weight})" if skill.weight != 1.0 else ""
            emit_line(f" {sign} {skill.name} {skill.version}{weight}")
    for new in change.changed:
        emit_line(f" ~ {new.name} {moves(change.before[new.name], new)}")
    emit_line(_summary(change))
    show_forecast(state, change, explain=explain)


def _summary(change: "Change") -> str:
    """The generation, its skills, and what was fetched, in one line."""
    verb = "would be" if change.dry_run else "is"
    head = f"generation {change.generation} {verb} current"
    new = len(change.added) + len(change.changed)
    if not (new or change.removed):
        return f"{'no skill changes' if change.moved else 'nothing to change'}; {head}"
    count = change.kept + new
    skills = counted(count, "skill") if count else "no skills"
    unchanged = f", {change.kept} unchanged" if change.kept and new else ""
    return f"{head}: {skills}{unchanged}{_fetched(change)}"


def _fetched(change: "Change") -> str:
    if not change.fetched_bytes:
        return ""
    stored = change.total_bytes - change.fetched_bytes
    rest = f" ({size_text(stored)} were in the store)" if stored > 0 else ""
    return f"; fetched {size_text(change.fetched_bytes)}{rest}"


def _emit_change(change: "Change", *, explain: bool) -> None:
    document: ChangeDocument = {
        "added": list(map(_installed_document, change.added)),
        "removed": list(map(_installed_document, change.removed)),
        "changed": list(map(_installed_document, change.changed)),
        "generation": change.generation,
        "kept": change.kept,
        "dry_run": change.dry_run,
        "notes": list(change.notes),
    }
    if change.saved is None:
        document["fetched_bytes"] = change.fetched_bytes
    else:
        document["plan"] = change.saved.to_dict()
    emit_json({**document, **forecast_document(change, explain=explain)})


def _installed_document(skill: "InstalledSkill") -> SkillDocument:
    return {"skill": skill.name, "version": skill.version, "digest": skill.digest}


def moves(old: "InstalledSkill | Entry", new: "InstalledSkill | Entry") -> str:
    """How a skill changes: its version, or the pack of the same version, and its weight."""
    text = f"{new.version}" if old.version == new.version else f"{old.version} -> {new.version}"
    if old.version == new.version and old.digest != new.digest:
        packs = (Digest(str(side.digest)).short for side in (old, new))
        text += f" (pack {' -> '.join(packs)})"
    if old.weight != new.weight:
        text += f" (weight {old.weight} -> {new.weight})"
    return text
