"""`graft`: write the base with the installed skills as a model folder."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from skillpm.cli.graft_documents import GraftDocument
from skillpm.cli.graft_settings import GraftFlags, graft_settings, one_method, settings_of
from skillpm.cli.method_comparison import COMPARE, compare_grafts
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, size_text, skill_document
from skillpm.cli.params import SKILL, refuse_together
from skillpm.cli.probing import (
    BUDGET_OF_TUNE,
    DEVICE_OF_TUNE,
    TUNE,
    budget_of,
    device_of,
    tune_weights,
)
from skillpm.cli.state import Command, State, command_project
from skillpm.cli.types import LocalPath
from skillpm.files.shown import shown

if TYPE_CHECKING:
    from skillpm.api.values import GraftResult
    from skillpm.spec.names import SkillName


@click.command(cls=Command)
@click.option(
    "-o", "--output", metavar="DIR", type=LocalPath(), help="Folder to write (default: graft/)."
)
@click.option(
    "--only",
    metavar="SKILL",
    type=SKILL,
    multiple=True,
    help="Graft only this skill; repeatable (default: all).",
)
@click.option(
    "--link",
    is_flag=True,
    help="Hard-link unchanged files to the base, read-only, instead of copying them.",
)
@click.option("--verify", is_flag=True, help="Hash the base again instead of using the leaf cache.")
@click.option("--fresh", is_flag=True, help="Reuse nothing from an existing graft.")
@graft_settings
@TUNE
@BUDGET_OF_TUNE
@COMPARE
@DEVICE_OF_TUNE
@click.pass_obj
def graft(
    state: State,
    /,
    *,
    output: Path | None,
    only: "tuple[SkillName, ...]",
    link: bool,
    verify: bool,
    fresh: bool,
    tune: bool,
    budget: int | None,
    compare: bool,
    device: str | None,
    **flags: Unpack[GraftFlags],
) -> None:
    r"""Write the base with the installed skills as a model.

    transformers loads the folder without skillpm. An up-to-date graft is kept, and of another one
    only the tensors that change are written. With --link, unchanged files are hard links: editing
    one edits the base. --mode, --method, --density, --scale, --seed and --weight apply to this run:
    skillpm.toml and skillpm.lock do not change.

    \b
    Examples:
      skillpm graft
      skillpm graft -o ./try --method ties --density 0.3
      skillpm graft --compare
    """
    used_device = device_of(device, flag="tune", runs=tune or compare)
    trials = budget_of(budget, tune=tune)
    where: _Writing = {"target": output, "link": link, "fresh": fresh, "verify": verify}
    if tune:
        given = {**_flags(where), **_given(flags)}
        refuse_together("tune", tune, compare=compare, only=only, **given)
        tune_weights(state, trials, used_device)
    elif compare:
        refuse_together("compare", compare, **_flags(where))
        compare_grafts(state, only, flags, used_device)
    else:
        _write(state, only, where, flags)


def _given(flags: GraftFlags) -> dict[str, object]:
    """The settings for one run by the names of their options."""
    settings: dict[str, object] = dict.fromkeys(settings_of(flags), True)
    return {
        "mode": flags["mode"],
        "method": flags["methods"],
        "weight": flags["weights"],
        **settings,
    }


class _Writing(TypedDict):
    """Where and how a graft is written."""

    target: Path | None
    link: bool
    fresh: bool
    verify: bool


def _flags(writing: _Writing) -> dict[str, object]:
    """The options of `_Writing` by their names on the command line."""
    return {"output": writing["target"], "link": writing["link"], "fresh": writing["fresh"],
            "verify": writing["verify"]}  # fmt: skip


def _write(
    state: State, only: "tuple[SkillName, ...]", writing: _Writing, flags: GraftFlags
) -> None:
    grafted = command_project(state).graft(
        **writing,
        only=only,
        mode=flags["mode"],
        method=one_method(flags),
        settings=settings_of(flags),
        weights=flags["weights"],
    )
    _show(state, grafted)


def _show(state: State, grafted: "GraftResult") -> None:
    if state.json:
        emit_json(_document(grafted))
        return
    names = ", ".join(release.ref for release in grafted.releases) or "the base without skills"
    verb = "already grafted" if grafted.unchanged else "grafted"
    emit_lines(f"{verb} {names}\n  into {clean(shown(grafted.path))}\n  {grafted.root}")
    sizes = {
        "written": grafted.written_bytes,
        "shared with the base": grafted.linked_bytes,
        "kept from before": grafted.reused_bytes,
    }
    parts = [f"{size_text(size)} {what}" for what, size in sizes.items() if size]
    emit_line(f"  {', '.join([*parts, f'{grafted.seconds:.1f} s'])}")
    if grafted.once:
        settings = "".join(f" {name}={value}" for name, value in grafted.settings.items())
        state.say(
            f"merged by {grafted.method}{settings} in this run; skillpm.toml and skillpm.lock are "
            f"unchanged\nto keep it: {' && '.join(grafted.keep)}"
        )


def _document(grafted: "GraftResult") -> GraftDocument:
    document: GraftDocument = {
        "path": str(grafted.path),
        "root": grafted.root,
        "generation": grafted.generation,
        "skills": [skill_document(skill) for skill in grafted.releases],
        "written_bytes": grafted.written_bytes,
        "linked_bytes": grafted.linked_bytes,
        "reused_bytes": grafted.reused_bytes,
        "unchanged": grafted.unchanged,
        "seconds": round(grafted.seconds, 3),
        "graft": {
            "mode": grafted.mode,
            "method": grafted.method,
            "settings": dict(grafted.settings),
        },
        "once": grafted.once,
    }
    if grafted.once:
        document["keep"] = list(grafted.keep)
    return document
