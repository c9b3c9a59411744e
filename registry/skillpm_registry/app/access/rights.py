"""Rights: a request needs the action in its token and a role that grants it in the namespace.

This module decides and reads nothing, so the tests check it as a table.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from skillpm.spec.names import SkillName
from skillpm.spec.registry_people import Action, Role

GRANTS: Mapping[Role, frozenset[Action]] = {
    "reader": frozenset({"read"}),
    "publisher": frozenset({"read", "publish"}),
    "maintainer": frozenset({"read", "publish", "publish-new", "yank"}),
    "owner": frozenset({"read", "publish", "publish-new", "yank", "admin"}),
}
"""The actions that a role allows in its namespace."""

_PUBLISHING: tuple[Action, ...] = ("publish", "publish-new")


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a token allows: actions on skills whose names match a pattern."""

    id: str
    actions: frozenset[Action]
    patterns: tuple[str, ...]
    single_use: bool = False

    def allows(self, action: Action, skill: SkillName) -> bool:
        """Whether the token allows an action on a skill. `admin` includes all other actions."""
        return bool(self.actions & {action, "admin"}) and any(
            matches(pattern, skill) for pattern in self.patterns
        )

    def touches(self, action: Action, namespace: str) -> bool:
        """Whether the token allows an action on some skill of a namespace."""
        return bool(self.actions & {action, "admin"}) and any(
            pattern == "*" or matches(pattern.partition("/")[0] + "/x", SkillName(namespace, "x"))
            for pattern in self.patterns
        )

    def allows_namespace(self, action: Action, namespace: str) -> bool:
        """Whether the token allows an action on every skill of a namespace."""
        return bool(self.actions & {action, "admin"}) and any(
            pattern in ("*", "*/*", f"{namespace}/*") for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of a request, and the token that it showed. Anonymous without a token.

    Commands on the server's own machine have no principal, and every right.
    """

    principal: int | None = None
    name: str = "anonymous"
    is_admin: bool = False
    grant: TokenGrant | None = None
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def rules(self) -> bool:
        """Whether the caller administers the registry: the principal and the token have to."""
        return (
            self.is_admin and self.grant is not None and self.grant.allows_namespace("admin", "*")
        )

    def may(self, action: Action, skill: SkillName, role: Role | None) -> bool:
        """Whether the caller may act on a skill, with this role in its namespace.

        An administrator of the registry has every role, within the limits of the token.
        """
        granted = self.is_admin or (role is not None and action in GRANTS[role])
        return granted and self.grant is not None and self.grant.allows(action, skill)

    def may_upload(self, namespace: str, role: Role | None) -> bool:
        """Whether the caller may publish some skill of a namespace."""
        return self.grant is not None and any(
            self.grant.touches(action, namespace)
            and (self.is_admin or (role is not None and action in GRANTS[role]))
            for action in _PUBLISHING
        )

    def may_in(self, action: Action, namespace: str, role: Role | None) -> bool:
        """Whether the caller may act on a namespace as a whole."""
        granted = self.is_admin or (role is not None and action in GRANTS[role])
        return granted and self.grant is not None and self.grant.allows_namespace(action, namespace)


ANYBODY = Caller()
LOCAL_CALLER = Caller(
    name="admin",
    is_admin=True,
    grant=TokenGrant("local", frozenset({"admin"}), ("*",)),
)
"""Commands on the server's own machine, which can write the database anyway."""


def matches(pattern: str, skill: SkillName) -> bool:
    """Whether a pattern of a token names a skill. `*` stands for any characters but `/`."""
    return pattern == "*" or _compiled(pattern).fullmatch(str(skill)) is not None


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))


def covers(granted: Collection[str], wanted: str) -> bool:
    """Whether every skill that `wanted` names is named by a pattern of `granted` too."""
    return any(_is_within(wanted, pattern) for pattern in granted)


def _is_within(inner: str, outer: str) -> bool:
    if outer in ("*", "*/*") or inner == outer:
        return True
    if inner == "*":
        return False
    halves = zip(inner.split("/"), outer.split("/"), strict=True)
    return all(_is_half_within(part, whole) for part, whole in halves)


def _is_half_within(inner: str, outer: str) -> bool:
    """Patterns have their only `*` at the end."""
    if not outer.endswith("*"):
        return inner == outer
    return inner.removesuffix("*").startswith(outer[:-1])
