"""Issuing a token: by the service, and by commands on the server's own machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from skillpm.spec.registry_people import Action
from skillpm_registry.app.access.secrets import new_secret
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.people.tokens import TokenGiven, Tokens
from skillpm_registry.catalog.people.values import TokenRow


@dataclass(frozen=True, slots=True)
class TokenRights:
    """The rights of a token that is to be issued."""

    principal: str
    actions: Sequence[Action]
    patterns: Sequence[str]
    lifetime: timedelta
    note: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)


def issue(
    tokens: Tokens, wanted: TokenRights, actor: Actor, *, now: datetime
) -> tuple[TokenRow, str]:
    """Store a new token. Returns its row, and its secret, which is not stored.

    A token that may `publish-new` but not `publish` creates one skill, and is then spent.
    """
    secret = new_secret()
    names = set(wanted.actions)
    given = TokenGiven(
        secret.id, secret.digest, wanted.principal, sorted(names), list(wanted.patterns),
        now + wanted.lifetime, wanted.note,
        single_use="publish-new" in names and not names & {"publish", "admin"},
        claims=wanted.claims,
    )  # fmt: skip
    return tokens.add(given, actor, now=now), secret.text
