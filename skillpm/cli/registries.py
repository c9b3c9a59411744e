"""`publish`, `yank`, `unyank`, `search`, `show`, `registry`: releases and where they are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import (
    clean,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
    size_text,
    verified_text,
)
from skillpm.cli.params import SKILL
from skillpm.cli.state import Command, State, command_session, global_params, verified_packs
from skillpm.cli.types import LocalPath

if TYPE_CHECKING:
    from skillpm.spec.names import SkillName
    from skillpm.spec.release import Release

_PATH = LocalPath()


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.pass_obj
def publish(state: State, path: Path) -> None:
    r"""Publish a pack file to a registry. A release never changes once it is published.

    \b
    skillpm publish acme-math-1.0.0.skillpack
    skillpm publish acme-math-1.0.0.skillpack --registry ./team-registry
    """
    from skillpm.flows.packs.publish import publish as flow

    done = flow(command_session(state), path)
    if state.json:
        emit_json(
            {**_release(done.release), "registry": str(done.registry), "created": done.created}
        )
        return
    verb = "published" if done.created else "already there, and the same:"
    emit_line(f"{verb} {done.release.ref} {done.release.digest}")
    state.say(f"in {done.registry}")


def _release(release: "Release") -> dict[str, Any]:
    return {
        "skill": str(release.skill),
        "version": str(release.version),
        "digest": str(release.digest),
    }


@click.command(cls=Command)
@click.argument("ref", metavar="REF")
@click.option("--reason", default="", help="Why, for those who have it locked.")
@click.pass_obj
def yank(state: State, ref: str, reason: str) -> None:
    r"""Hide a release from new resolutions; locks keep it.

    \b
    skillpm yank acme/math@1.0.0 --reason "overfits"
    """
    from skillpm.flows.packs.publish import yank as flow

    release = flow(command_session(state), ref, reason)
    _show_yank(state, release)


@click.command(cls=Command)
@click.argument("ref", metavar="REF")
@click.pass_obj
def unyank(state: State, ref: str) -> None:
    r"""Show a yanked release again.

    \b
    skillpm unyank acme/math@1.0.0
    """
    from skillpm.flows.packs.publish import unyank as flow

    _show_yank(state, flow(command_session(state), ref))


def _show_yank(state: State, release: "Release") -> None:
    if state.json:
        emit_json({**_release(release), "yanked": release.yanked})
    else:
        emit_line(f"{'yanked' if release.yanked else 'unyanked'} {release.ref}")


@click.command(cls=Command)
@click.argument("text", default="")
@click.pass_obj
def search(state: State, text: str) -> None:
    r"""Find skills by words of their name, summary or capabilities; all without TEXT.

    \b
    skillpm search math
    """
    from skillpm.flows.packs.publish import search as flow

    found = flow(command_session(state), text)
    if state.json:
        rows = [
            {**_release(one), "summary": one.summary, "verified": _is_verified(state, one)}
            for one in found
        ]
        emit_json({"results": rows})
        return
    if not found:
        state.say(f"no skill matches `{text}`" if text else "nothing was published yet")
        return
    lines = [
        (one.skill, one.version, verified_text(_is_verified(state, one)), one.summary)
        for one in found
    ]
    emit_table(lines, ("skill", "version", "verified", "summary"))


@click.command(cls=Command)
@click.argument("skill", type=SKILL)
@click.pass_obj
def show(state: State, skill: "SkillName") -> None:
    r"""List the releases of a skill: base, size, licence, requirements, yanks.

    \b
    skillpm show acme/math
    """
    from skillpm.flows.packs.publish import show as flow

    releases = flow(command_session(state), skill)
    if state.json:
        emit_json({"skill": str(skill), "releases": [_full(state, one) for one in releases]})
        return
    emit_lines(f"{skill}  {clean(releases[-1].summary)}\n")
    rows = [
        (
            one.version,
            "yanked" if one.yanked else "",
            one.scheme,
            size_text(one.size),
            one.license or "-",
            one.base.short if one.base else "-",
            verified_text(_is_verified(state, one)),
            ", ".join(map(str, one.requires)) or "-",
        )
        for one in releases
    ]
    head = ("version", "state", "scheme", "size", "license", "base", "verified", "requires")
    emit_table(rows, head)


def _is_verified(state: State, release: "Release") -> bool:
    """Whether this home verified a release on the base that it says it was cut from."""
    if release.digest is None or release.base is None:
        return False
    return verified_packs(state).holds(release.digest, release.base)


def _full(state: State, release: "Release") -> dict[str, Any]:
    return {
        **_release(release),
        "verified": _is_verified(state, release),
        "size": release.size,
        "base": str(release.base) if release.base else None,
        "requires": [str(need) for need in release.requires],
        "conflicts": [str(need) for need in release.conflicts],
        "yanked": release.yanked,
        "yank_reason": release.yank_reason,
        "summary": release.summary,
        "license": release.license,
        "created": release.created,
        "scheme": release.scheme,
        "payload_bytes": release.payload_bytes,
    }


@click.group(params=global_params())
def registry() -> None:
    """Keep a registry."""


@registry.command("init", cls=Command)
@click.argument("path", type=_PATH)
@click.option("--shared", is_flag=True, help="Let the folder's group read and write it.")
@click.pass_obj
def registry_init(state: State, path: Path, *, shared: bool) -> None:
    r"""Make an embedded registry in an empty folder.

    It is for its owner alone, unless it is shared.

    \b
    skillpm registry init ./team-registry
    skillpm registry init /srv/skills --shared
    """
    from skillpm.flows.session.cleanup import clean_up
    from skillpm.index.open import make_registry

    clean_up(command_session(state))
    make_registry(path.expanduser().absolute(), shared=shared)
    if state.json:
        emit_json({"registry": str(path)})
    else:
        emit_line(f"made a registry in {clean(path)}")
