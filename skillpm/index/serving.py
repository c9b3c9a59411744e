"""Serves and administers a registry on its own machine. Needs the extra `server`."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skillpm.errors import UsageError
from skillpm.index.administration import Administration
from skillpm.spec.registry_api import NewToken
from skillpm_registry.app.administration import LocalAdministration
from skillpm_registry.app.run import Address, free_port, serve
from skillpm_registry.app.service import make_service, open_people
from skillpm_registry.app.starting import ServedPlace, first_administrator, place_of


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
    _place(config, folder, environment, "http://localhost").upgrade().close()


def administer(
    config: Path | None, folder: Path | None, environment: Mapping[str, str]
) -> Administration:
    """Administer a registry on this machine."""
    place = _place(config, folder, environment, "http://localhost")
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
