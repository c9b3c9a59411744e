"""`registry serve`, `upgrade` and `sweep`: registries on this machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import emit_json, emit_line, say, size_text
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import LocalPath
from skillpm.cli.upkeep_documents import MigratedDocument, SweptDocument, TokenSecretDocument

if TYPE_CHECKING:
    from skillpm.spec.registry_people import NewToken

CONFIG = click.option(
    "--config",
    metavar="FILE",
    type=LocalPath(),
    help="Configuration of a registry on this machine (TOML).",
)


@click.command(cls=Command)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port to listen on; 0 for any free port.",
)
@CONFIG
@click.pass_obj
def serve(state: State, host: str, port: int, config: Path | None) -> None:
    r"""Serve a registry over HTTP.

    Without --config, serves a folder (--registry, default: the embedded registry) on this machine
    only. At its first start, prints an administrator's token. Needs the extra `server`.

    \b
    Examples:
      skillpm registry serve
      skillpm registry serve --config /etc/skillpm/server.toml --port 8080
    """
    from skillpm.api.serving import ServeOptions
    from skillpm.api.serving import serve as serve_registry

    serve_registry(
        command_client(state),
        ServeOptions(host, port, config),
        announce=lambda url: say(f"serving {url}"),
        show_token=lambda token: show_token(state, token),
    )


def show_token(state: State, token: "NewToken") -> None:
    """Print a new token: the secret alone on stdout, the rest on stderr."""
    if state.json:
        secret: TokenSecretDocument = {
            "token": token.token,
            "id": token.id,
            "principal": token.principal,
            "actions": list(token.actions),
            "patterns": token.patterns,
            "expires": token.expires,
        }
        emit_json(secret)
    else:
        state.say(
            f"token {token.id} of `{token.principal}`, shown only now, valid until {token.expires}:"
        )
        emit_line(token.token)
    sys.stdout.flush()


@click.command(cls=Command)
@CONFIG
@click.pass_obj
def upgrade(state: State, config: Path | None) -> None:
    r"""Migrate a registry to the newest schema.

    Versions of skillpm before 0.3 cannot read the registry after that. Make a backup first.

    \b
    Examples:
      skillpm registry upgrade --registry /srv/skills
      skillpm registry upgrade --config /etc/skillpm/server.toml
    """
    from skillpm.api.serving import upgrade_server

    upgrade_server(command_client(state), config)
    if state.json:
        emit_json({"upgraded": True})
    else:
        emit_line("the registry has the newest schema")


@click.command(cls=Command)
@click.argument(
    "source",
    metavar="FROM",
    type=LocalPath(exists=True),
    help="Registry to copy: a folder, or a configuration (TOML).",
)
@click.argument(
    "target",
    metavar="TO",
    type=LocalPath(),
    help="New registry: a folder, or a configuration (TOML).",
)
@click.pass_obj
def migrate(state: State, source: Path, target: Path) -> None:
    r"""Copy a registry to another database and store.

    Every blob is verified. Stop publishing to FROM before. A command that was stopped continues
    when it is run again.

    \b
    Example:
      skillpm registry migrate ./team-registry /etc/skillpm/server.toml
    """
    from skillpm.api.serving import migrate_server

    moved = migrate_server(command_client(state), source, target)
    if state.json:
        document: MigratedDocument = {
            "blobs": moved.blobs,
            "bytes": moved.bytes,
            "rows": moved.rows,
        }
        emit_json(document)
    else:
        emit_line(f"copied {moved.blobs} blobs ({size_text(moved.bytes)}) and {moved.rows} rows")


@click.command(cls=Command)
@CONFIG
@click.pass_obj
def sweep(state: State, config: Path | None) -> None:
    r"""Remove blobs that no release needs.

    Blobs are kept for 24 hours after their upload. Uploads that ended are removed too.

    \b
    Example:
      skillpm registry sweep
    """
    from skillpm.api.serving import administration

    with administration(command_client(state), config) as registry:
        report = registry.sweep()
    if state.json:
        document: SweptDocument = {
            "blobs": report.blobs,
            "bytes": report.bytes,
            "uploads": report.uploads,
        }
        emit_json(document)
    else:
        emit_line(
            f"removed {report.blobs} blobs ({size_text(report.bytes)}) and {report.uploads} uploads"
        )
