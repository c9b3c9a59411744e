"""`publish`, `yank`, `unyank`, `search`, `show` and `registry`: releases in registries."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.advisories import advisory
from skillpm.cli.documents import ShownRelease, SkillDocument
from skillpm.cli.namespaces import namespace
from skillpm.cli.output import (
    clean,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
    size_text,
    verified_text,
)
from skillpm.cli.params import SKILL, refuse_together
from skillpm.cli.result_documents import (
    FoundDocument,
    PublishDocument,
    SearchDocument,
    ShowDocument,
    YankDocument,
)
from skillpm.cli.serving import CONFIG, migrate, serve, show_token, sweep, upgrade
from skillpm.cli.state import Command, State, command_client, global_params, verified_packs
from skillpm.cli.tokens import token
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError

if TYPE_CHECKING:
    from skillpm.spec.names import SkillName
    from skillpm.spec.release import Release

_PATH = LocalPath()


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.pass_obj
def publish(state: State, path: Path) -> None:
    r"""Publish a pack file to a registry.

    A published release never changes. To publish other content, use a new version.

    \b
    Examples:
      skillpm publish acme-math-1.0.0.skillpack
      skillpm publish acme-math-1.0.0.skillpack --registry ./team-registry
    """
    from skillpm.api.releases import publish as publish_pack

    published = publish_pack(command_client(state), path)
    if state.json:
        document: PublishDocument = {
            **_skill_document(published.release),
            "registry": str(published.registry),
            "created": published.created,
        }
        emit_json(document)
        return
    verb = "published" if published.created else "already published:"
    emit_line(f"{verb} {published.release.ref} {published.release.digest}")
    state.say(f"in {published.registry}")


def _skill_document(release: "Release") -> SkillDocument:
    return {
        "skill": str(release.skill),
        "version": str(release.version),
        "digest": str(release.digest),
    }


@click.command(cls=Command)
@click.argument("ref", metavar="REF")
@click.option("--reason", default="", help="Reason, shown to users who have the release locked.")
@click.pass_obj
def yank(state: State, ref: str, reason: str) -> None:
    r"""Hide a release from new resolutions.

    Locks that contain the release can still install it. REF is a skill and a version,
    `acme/math@1.0.0`.

    \b
    Example:
      skillpm yank acme/math@1.0.0 --reason "overfits"
    """
    from skillpm.api.releases import yank as yank_release

    _show_yank(state, yank_release(command_client(state), ref, reason))


@click.command(cls=Command)
@click.argument("ref", metavar="REF")
@click.pass_obj
def unyank(state: State, ref: str) -> None:
    r"""Undo a yank.

    REF is a skill and a version, `acme/math@1.0.0`.

    \b
    Example:
      skillpm unyank acme/math@1.0.0
    """
    from skillpm.api.releases import unyank as unyank_release

    _show_yank(state, unyank_release(command_client(state), ref))


def _show_yank(state: State, release: "Release") -> None:
    if state.json:
        document: YankDocument = {**_skill_document(release), "yanked": release.yanked}
        emit_json(document)
    else:
        emit_line(f"{'yanked' if release.yanked else 'unyanked'} {release.ref}")


@click.command(cls=Command)
@click.argument("text", default="")
@click.pass_obj
def search(state: State, text: str) -> None:
    r"""Search a registry for skills.

    Lists skills whose name, summary or capabilities contain all words of TEXT (default: all
    skills).

    \b
    Example:
      skillpm search math
    """
    from skillpm.api.releases import search as search_releases

    releases = search_releases(command_client(state), text)
    if state.json:
        results: list[FoundDocument] = [
            {
                **_skill_document(release),
                "summary": release.summary,
                "verified": _is_verified(state, release),
            }
            for release in releases
        ]
        document: SearchDocument = {"results": results}
        emit_json(document)
        return
    if not releases:
        state.say(f"no skill matches `{text}`" if text else "the registry has no releases")
        return
    rows = [
        (
            release.skill,
            release.version,
            verified_text(_is_verified(state, release)),
            release.summary,
        )
        for release in releases
    ]
    emit_table(rows, ("skill", "version", "verified", "summary"))


@click.command(cls=Command)
@click.argument("skill", type=SKILL)
@click.pass_obj
def show(state: State, skill: "SkillName") -> None:
    r"""List the releases of a skill.

    Shows the base, size, licence and requirements of each, and whether it was yanked or verified.

    \b
    Example:
      skillpm show acme/math
    """
    from skillpm.api.releases import list_releases

    releases = list_releases(command_client(state), skill)
    if state.json:
        document: ShowDocument = {
            "skill": str(skill),
            "releases": [_release_document(state, release) for release in releases],
        }
        emit_json(document)
        return
    emit_lines(f"{skill}  {clean(releases[-1].summary)}\n")
    rows = [
        (
            release.version,
            "quarantined" if release.quarantined else "yanked" if release.yanked else "",
            release.scheme,
            size_text(release.size),
            release.license or "-",
            release.base.short if release.base else "-",
            verified_text(_is_verified(state, release)),
            ", ".join(map(str, release.requires)) or "-",
        )
        for release in releases
    ]
    head = ("version", "state", "scheme", "size", "license", "base", "verified", "requires")
    emit_table(rows, head)


def _is_verified(state: State, release: "Release") -> bool:
    """Whether the release was verified on its base with this `SKILLPM_HOME`."""
    if release.digest is None or release.base is None:
        return False
    return verified_packs(state).holds(release.digest, release.base)


def _release_document(state: State, release: "Release") -> ShownRelease:
    return {
        **_skill_document(release),
        "verified": _is_verified(state, release),
        "size": release.size,
        "base": str(release.base) if release.base else None,
        "requires": [str(need) for need in release.requires],
        "conflicts": [str(need) for need in release.conflicts],
        "yanked": release.yanked,
        "yank_reason": release.yank_reason,
        "quarantined": release.quarantined,
        "summary": release.summary,
        "license": release.license,
        "created": release.created,
        "scheme": release.scheme,
        "payload_bytes": release.payload_bytes,
    }


@click.group(params=global_params())
def registry() -> None:
    """Create, serve and administer registries."""


@registry.command("init", cls=Command)
@click.argument("path", type=_PATH, required=False)
@click.option("--shared", is_flag=True, help="Allow the folder's group to read and write.")
@click.option("--admin", metavar="NAME", default="admin", help="Administrator of a server.")
@CONFIG
@click.pass_obj
def registry_init(
    state: State, path: Path | None, config: Path | None, admin: str, *, shared: bool
) -> None:
    r"""Create a registry: in a folder, or a server's.

    Only the owner can read and write the folder, unless --shared is given. With --config, creates
    the server's database and blobs, and prints a token of its first administrator.

    \b
    Examples:
      skillpm registry init ./team-registry
      skillpm registry init /srv/skills --shared
      skillpm registry init --config /etc/skillpm/server.toml
    """
    if path is None:
        _init_server(state, config, admin)
        return
    refuse_together("config", config, path=path)
    from skillpm.api.releases import create_registry

    create_registry(command_client(state), path, shared=shared)
    if state.json:
        emit_json({"registry": str(path)})
    else:
        emit_line(f"created a registry in {clean(path)}")


def _init_server(state: State, config: Path | None, admin: str) -> None:
    from skillpm.api.serving import create_server, is_configured

    if not is_configured(config):
        raise UsageError(
            "argument `PATH` is missing", hint="name a folder, or a server's `--config FILE`"
        )
    token = create_server(config, administrator=admin)
    if token is not None:
        show_token(state, token)
    elif state.json:
        emit_json({"token": None})
    else:
        state.say("the registry exists, and has an administrator with a valid token")


for command in (advisory, namespace, token, serve, migrate, sweep, upgrade):
    registry.add_command(command)
