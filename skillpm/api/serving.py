"""Serving and administering registries."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client
from skillpm.api.extras import needs_server
from skillpm.errors import UsageError
from skillpm.files.named import expanded

if TYPE_CHECKING:
    from skillpm.index.administration import Administration
    from skillpm.index.serving import MovedServer
    from skillpm.parallel import Advance
    from skillpm.spec.registry_people import NewToken

SERVER_VARIABLES = "SKILLPM_SERVER_"
"""The beginning of the names of variables that configure a service on this machine."""


@dataclass(frozen=True)
class ServeOptions:
    """Where `registry serve` listens, and its configuration file. Port 0 is any free port."""

    host: str = "127.0.0.1"
    port: int = 8765
    config: Path | None = None


def serve(
    client: Client,
    options: ServeOptions,
    *,
    announce: Callable[[str], None],
    show_token: "Callable[[NewToken], None]",
) -> None:
    """Serve a registry until SIGINT or SIGTERM.

    Calls `announce` with the URL when requests are answered. `show_token` receives the first
    administrator's token of an embedded registry. Raises `UsageError` if the extra `server` is
    missing, or if there is no registry of this machine to serve.
    """
    with needs_server("`registry serve` needs a web server"):
        from skillpm.index.serving import Serving, serve_registry
    asked = Serving(
        options.host, options.port, options.config, _folder(client, options.config), os.environ
    )
    serve_registry(asked, announce, show_token)


def create_server(config: Path | None = None, *, administrator: str = "admin") -> "NewToken | None":
    """Create a configured registry: its database, its blobs, and its first administrator.

    Returns the administrator's token; None if there is an administrator with a valid one.
    """
    with needs_server("a configured registry needs its database's driver"):
        from skillpm.index.serving import create_server as create
    return create(config, os.environ, administrator)


def upgrade_server(client: Client, config: Path | None = None) -> None:
    """Migrate a registry of this machine to the newest schema. Older versions cannot read it."""
    with needs_server("`registry upgrade` needs the server's libraries"):
        from skillpm.index.serving import upgrade_server as upgrade
    upgrade(config, _folder(client, config), os.environ)


def migrate_server(client: Client, source: Path, target: Path) -> "MovedServer":
    """Copy a registry, a folder or a configuration file, to another place.

    Every blob is verified. Stop publishing to `source` before. An interrupted call is continued by
    the next.
    """
    with needs_server("`registry migrate` needs the server's libraries"):
        from skillpm.index.serving import migrate_server as migrate
    return migrate(expanded(source), expanded(target), _reporter(client))


def _reporter(client: Client) -> Callable[[int, int], None]:
    """A function of blobs that are copied, and of all blobs, for the client's progress."""
    started: list[Advance] = []
    shown = 0

    def report(done: int, total: int) -> None:
        nonlocal shown
        if not started:
            started.append(client.session.progress("copying blobs", total))
        started[0](done - shown)
        shown = done

    return report


@contextmanager
def administration(client: Client, config: Path | None = None) -> "Iterator[Administration]":
    """Administer a registry: on this machine by its database, else over HTTP with a token.

    A configuration file, or variables `SKILLPM_SERVER_…`, mean this machine. Raises `AuthError`
    without a token that the registry accepts.
    """
    opened = _administration(client, config)
    try:
        yield opened
    finally:
        opened.close()


def _administration(client: Client, config: Path | None) -> "Administration":
    if not is_configured(config) and client.session.default_registry.folder is None:
        return _over_http(client)
    with needs_server("this command needs the server's libraries"):
        from skillpm.index.serving import administer
    return administer(config, _folder(client, config), os.environ)


def _over_http(client: Client) -> "Administration":
    """The registry of `--registry` or `SKILLPM_REGISTRY`: no project chooses who gets a token."""
    from skillpm.api.session import remote_settings
    from skillpm.index.remote.administer import administer_over_http
    from skillpm.spec.location import RegistryKind

    location = client.session.registry
    if location is None or location.kind is not RegistryKind.HTTP:
        raise UsageError(
            f"the registry `{location or client.session.default_registry}` is not administered "
            "from here",
            hint="name its URL with `--registry URL` or SKILLPM_REGISTRY",
        )
    if client.session.offline:
        raise UsageError("this command needs the network, but `--offline` is set")
    return administer_over_http(location, remote_settings(client.options, client.session.now))


def is_configured(config: Path | None) -> bool:
    """Whether a file or variables configure a registry on this machine."""
    return config is not None or any(
        name.startswith(SERVER_VARIABLES) and value for name, value in os.environ.items()
    )


def _folder(client: Client, config: Path | None) -> Path | None:
    """The folder of the embedded registry; None with a configuration, or for a URL."""
    if is_configured(config):
        return None
    location = client.session.default_registry
    if location.folder is None:
        raise UsageError(
            f"registry `{location}` is not on this machine",
            hint="name a folder with `--registry FOLDER`, or a configuration with `--config FILE`",
        )
    return expanded(location.folder).absolute()
