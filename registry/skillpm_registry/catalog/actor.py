"""Who makes a change, and what that principal may see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """The principal of a request.

    `principal` is a row of the table; None is the owner of an embedded registry, or an anonymous
    reader. `claims` are those of the OIDC token, recorded with a release. An administrator may read
    all namespaces.
    """

    principal: int | None = None
    is_admin: bool = False
    claims: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS = Actor()
"""A reader without a token. May read public namespaces."""
LOCAL = Actor(is_admin=True)
"""The owner of an embedded registry, and the commands on the server's own machine."""
