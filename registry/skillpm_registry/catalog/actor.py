"""Who makes a change, and what that principal may see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, or_, select, true

from skillpm_registry.tables import namespace, namespace_member


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


def may_read(column: ColumnElement[str], actor: Actor) -> ColumnElement[bool]:
    """The condition that the actor may read the namespace that a column names."""
    if actor.is_admin:
        return true()
    public = select(namespace.c.name).where(~namespace.c.private)
    if actor.principal is None:
        return column.in_(public)
    own = select(namespace_member.c.namespace).where(
        namespace_member.c.principal_id == actor.principal
    )
    return or_(column.in_(public), column.in_(own))
