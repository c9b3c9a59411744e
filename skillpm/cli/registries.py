"""`publish`, `yank`, `unyank` and `registry`: releases in registries."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.advisories import advisory
from skillpm.cli.documents import SkillDocument
from skillpm.cli.namespaces import namespace
from skillpm.cli.output import clean, emit_json, emit_line
from skillpm.cli.params import refuse_together
from skillpm.cli.result_documents import PublishDocument, YankDocument
from skillpm.cli.serving import CONFIG, migrate, serve, show_token, sweep, upgrade
from skillpm.cli.state import Command, State, command_client, global_params
from skillpm.cli.tokens import token
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.files.shown import shown

if TYPE_CHECKING:
    from skillpm.spec.release import Release

_PATH = LocalPath()


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH, help="Pack file: `acme-math-1.0.0.skillpack`.")
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
            **release_document(published.release),
            "registry": str(published.registry),
            "created": published.created,
        }
        emit_json(document)
        return
    verb = "published" if published.created else "already published:"
    emit_line(f"{verb} {published.release.ref} {published.release.digest}")
    state.say(f"in the registry {published.registry}")


def release_document(release: "Release") -> SkillDocument:
    """A release as JSON documents name it."""
    return {
        "skill": str(release.skill),
        "version": str(release.version),
        "digest": str(release.digest),
    }


@click.command(cls=Command)
@click.argument("ref", metavar="REF", help="Release: `acme/math@1.0.0`.")
@click.option("--reason", default="", help="Reason, shown to users who have the release locked.")
@click.pass_obj
def yank(state: State, ref: str, reason: str) -> None:
    r"""Hide a release from new resolutions.

    Locks that contain the release can still install it.

    \b
    Example:
      skillpm yank acme/math@1.0.0 --reason "overfits"
    """
    from skillpm.api.releases import yank as yank_release

    _show_yank(state, yank_release(command_client(state), ref, reason))


@click.command(cls=Command)
@click.argument("ref", metavar="REF", help="Release: `acme/math@1.0.0`.")
@click.pass_obj
def unyank(state: State, ref: str) -> None:
    r"""Undo a yank.

    New resolutions may choose the release again.

    \b
    Example:
      skillpm unyank acme/math@1.0.0
    """
    from skillpm.api.releases import unyank as unyank_release

    _show_yank(state, unyank_release(command_client(state), ref))


def _show_yank(state: State, release: "Release") -> None:
    if state.json:
        document: YankDocument = {**release_document(release), "yanked": release.yanked}
        emit_json(document)
    else:
        emit_line(f"{'yanked' if release.yanked else 'unyanked'} {release.ref}")


@click.group(params=global_params())
def registry() -> None:
    """Create, serve and administer registries."""


@registry.command("init", cls=Command)
@click.argument("path", type=_PATH, required=False, help="Folder of a new embedded registry.")
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
        emit_line(f"created a registry in {clean(shown(path))}")


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
