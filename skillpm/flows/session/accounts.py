"""`login`, `logout` and `whoami`: the user's account at a registry."""

from dataclasses import dataclass

from skillpm.errors import UsageError
from skillpm.flows.session.bindings import registry_for
from skillpm.flows.session.session import Session
from skillpm.spec.location import RegistryLocation
from skillpm.spec.origin import WebOrigin


@dataclass(frozen=True)
class AccountReport:
    """A registry, the owner of the token that it accepts, and when the token expires.

    `place` says where `login` stored the token.
    """

    registry: RegistryLocation
    principal: str
    expires: str | None
    place: str = ""


def login_registry(session: Session, *, asks: bool) -> RegistryLocation:
    """The registry of `login`.

    Raises `UsageError` for a folder, and if only a project file names the registry and the user is
    not asked: a token from a script must not go where a stranger's project sends it.
    """
    location = registry_for(session, None)
    session.account(location)
    if not asks and location not in session.own_registries:
        raise UsageError(
            f"only the project file names the registry `{location}`",
            hint=f"to send a token there: `skillpm login --registry {location}`",
        )
    return location


def log_in(session: Session, location: RegistryLocation, token: str) -> AccountReport:
    """Check a token with the registry, and store it for the registry's origin.

    Warns of a connection that others on the network can read.
    """
    origin = WebOrigin.of_location(location)
    if origin is not None and origin.scheme == "http" and not origin.is_loopback:
        session.say(
            f"warning: `{origin}` is not encrypted: others on the network can read the token"
        )
    identity, place = session.account(location).log_in(token)
    return AccountReport(location, identity.principal, identity.expires, place)


def log_out(session: Session) -> tuple[RegistryLocation, bool]:
    """Forget the token of the default registry. Returns it, and whether there was a token."""
    location = registry_for(session, None)
    return location, session.account(location).log_out()


def whoami(session: Session) -> AccountReport:
    """The owner of the token that commands send to the default registry."""
    location = registry_for(session, None)
    identity = session.account(location).identity()
    return AccountReport(location, identity.principal, identity.expires)
