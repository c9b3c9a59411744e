"""Accounts at registries over HTTP."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from skillpm.api.client import Client

if TYPE_CHECKING:
    from skillpm.api.results import AccountReport
    from skillpm.spec.location import RegistryLocation


def login(
    client: Client, read_token: "Callable[[RegistryLocation], str]", *, asks: bool
) -> "AccountReport":
    """Check a token with the default registry, and store it for the registry's origin.

    `read_token` gets the token once the registry is known. `asks` is whether it asks the user, who
    then sees the registry; otherwise a registry that only a project file names is refused.
    """
    from skillpm.flows.session.accounts import log_in, login_registry

    location = login_registry(client.session, asks=asks)
    return log_in(client.session, location, read_token(location))


def logout(client: Client) -> "tuple[RegistryLocation, bool]":
    """Forget the token of the default registry. Returns it, and whether there was a token."""
    from skillpm.flows.session.accounts import log_out

    return log_out(client.session)


def whoami(client: Client) -> "AccountReport":
    """The owner of the token that commands send to the default registry, and its expiry."""
    from skillpm.flows.session.accounts import whoami as flow

    return flow(client.session)
