"""What the queries on people return."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from skillpm.spec.registry_people import Action, Role


@dataclass(frozen=True, slots=True)
class PrincipalRow:
    """A user, or the workflows that a rule of trusted publishing names."""

    id: int
    name: str
    kind: str
    is_admin: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token without its hash, and the principal that it belongs to."""

    id: str
    principal: PrincipalRow
    actions: frozenset[Action]
    patterns: tuple[str, ...]
    single_use: bool
    created: datetime
    expires: datetime
    note: str = ""
    revoked: bool = False
    claims: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """A namespace, and the role that a principal has in it."""

    namespace: str
    private: bool
    role: Role | None
    created: datetime

    @property
    def visible(self) -> bool:
        """Whether a principal with this role may know that the namespace exists."""
        return not self.private or self.role is not None


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member of a namespace."""

    principal: str
    role: Role
    since: datetime


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule of trusted publishing, and the principal of the tokens that it gives."""

    id: int
    namespace: str
    pattern: str
    issuer: str
    claims: Mapping[str, str]
    principal: PrincipalRow
    publishes_new: bool
    created: datetime
