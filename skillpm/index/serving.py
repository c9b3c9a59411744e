"""Serves and administers a registry on its own machine. Needs the extra `server`."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skillpm.errors import UsageError
from skillpm.index.administration import Administration
from skillpm.spec.registry_people import NewToken
from skillpm_registry.app.administration import LocalAdministration
from skillpm_registry.app.run import Address, free_port, serve
from skillpm_registry.app.service import make_service, now_in_utc, open_people
from skillpm_registry.app.starting import ServedPlace, first_administrator, place_of
from skillpm_registry.moving import move_registry

_LOCAL = "http://localhost"
"""The URL of an embedded registry that is not served."""


@dataclass(frozen=True)
class MovedServer:
    """What was copied to another place."""

    blobs: int
    bytes: int
    rows: int


@dataclass(frozen=True)
class Serving:
    """What `registry serve` was asked for. `folder` is that of an embedded registry."""

    host: str
    port: int
    config: Path | None
    folder: Path | None
    environment: Mapping[str, str]


def serve_registry(
    asked: Serving, announce: Callable[[str], None], show_token: Callable[[NewToken], None]
) -> None:
    """Serve until SIGINT or SIGTERM. Calls `announce` with the URL when requests are answered.

    An embedded registry without a valid token of an administrator gets one, which `show_token`
    receives. Raises `UsageError` if an embedded registry would be served beyond this machine.
    """
    address = free_port(Address(asked.host, asked.port))
    place = _place(asked.config, asked.folder, asked.environment, address.url)
    if place.is_embedded and not _is_loopback(asked.host):
        raise UsageError(
            f"without a configuration, a registry is served on this machine only, not on "
            f"`{asked.host}`",
            hint="write a configuration with the registry's URL, and use `--config FILE`",
        )
    service = make_service(place.config, place.open())
    if place.is_embedded:
        token = first_administrator(service.people)
        if token is not None:
            show_token(token)
    serve(service, address, lambda: announce(address.url))


def create_server(
    config: Path | None, environment: Mapping[str, str], administrator: str
) -> NewToken | None:
    """Create database, blobs and first administrator of a configured registry.

    Returns the administrator's token; None if there is an administrator with a valid one.
    """
    place = _place(config, None, environment, "")
    backend = place.create()
    try:
        return first_administrator(open_people(backend, place.config), administrator)
    finally:
        backend.close()


def upgrade_server(
    config: Path | None, folder: Path | None, environment: Mapping[str, str]
) -> None:
    """Migrate a registry to the newest schema."""
    _place(config, folder, environment, _LOCAL).upgrade().close()


def migrate_server(source: Path, target: Path, progress: Callable[[int, int], None]) -> MovedServer:
    """Copy a registry to another place. Each is a folder or a configuration file.

    `progress` gets the number of blobs that are copied, and that of all blobs.
    """
    old, new = (_place_at(path) for path in (source, target))
    opened = old.open_existing()
    try:
        created = new.create()
        try:
            moved = move_registry(opened, created, now=now_in_utc(), report=progress)
        finally:
            created.close()
    finally:
        opened.close()
    return MovedServer(moved.blobs, moved.bytes, moved.rows)


def _place_at(path: Path) -> ServedPlace:
    """The registry of a configuration file, or the one embedded in a folder."""
    is_folder = path.is_dir() or path.suffix != ".toml"
    return _place(None if is_folder else path, path.absolute() if is_folder else None, {}, _LOCAL)


def administer(
    config: Path | None, folder: Path | None, environment: Mapping[str, str]
) -> Administration:
    """Administer a registry on this machine."""
    place = _place(config, folder, environment, _LOCAL)
    return LocalAdministration(make_service(place.config, place.open()))


def _place(
    config: Path | None, folder: Path | None, environment: Mapping[str, str], url: str
) -> ServedPlace:
    place = place_of(config, environment, folder, url)
    if place is None:
        raise UsageError(
            "no registry of this machine is configured",
            hint="use `--config FILE`, or set SKILLPM_SERVER_DATABASE, SKILLPM_SERVER_BLOBS and "
            "SKILLPM_SERVER_URL",
        )
    return place


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
