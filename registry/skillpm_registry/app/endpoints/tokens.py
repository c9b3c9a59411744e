"""Tokens: create, list, revoke; `whoami`; and the exchange of OIDC tokens."""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from skillpm.spec.registry_people import (
    ACTIONS,
    Action,
    ExchangeRequest,
    NewToken,
    TokenDocument,
    TokenList,
    TokenRequest,
    WhoamiDocument,
)
from skillpm_registry.app.access.gate import actor_of, need_token
from skillpm_registry.app.access.issue import TokenRights, issue
from skillpm_registry.app.access.oidc import (
    OidcRefusedError,
    WorkflowIdentity,
    recorded_claims,
    rule_matches,
)
from skillpm_registry.app.access.rights import covers
from skillpm_registry.app.problems import ForbiddenError
from skillpm_registry.app.replies import NO_STORE, ServiceReply, time_text
from skillpm_registry.app.service import ServiceCall
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.people.values import RuleRow, TokenRow

EXCHANGED = timedelta(minutes=15)
"""The lifetime of a token that was given for an OIDC token."""


def create(call: ServiceCall) -> ServiceReply:
    """Create a token with no more rights than the caller's own."""
    caller, asked = call.caller, call.document
    assert isinstance(asked, TokenRequest)  # noqa: S101 - by the table of endpoints
    need_token(caller)
    grant = caller.grant
    if grant is None or "admin" not in grant.actions:
        raise ForbiddenError("only a token with the action `admin` creates tokens")
    beyond = [pattern for pattern in asked.patterns if not covers(grant.patterns, pattern)]
    if beyond:
        raise ForbiddenError(f"your token has no rights on `{beyond[0]}`")
    if asked.principal not in (None, caller.name):
        call.service.people.gate.need_rule(caller)
    wanted = TokenRights(
        asked.principal or caller.name, asked.actions, asked.patterns,
        timedelta(seconds=asked.expires_in), asked.note,
    )  # fmt: skip
    row, secret = issue(call.service.people.tokens, wanted, actor_of(caller), now=call.now)
    return ServiceReply(new_token(row, secret), HTTPStatus.CREATED)


def listed(call: ServiceCall) -> ServiceReply:
    """The caller's valid tokens; for an administrator, everybody's."""
    need_token(call.caller)
    principal = None if call.caller.rules else call.caller.principal
    rows = call.service.people.tokens.all(call.now, principal)
    return ServiceReply(TokenList(tokens=[_token(row) for row in rows]))


def revoke(call: ServiceCall) -> ServiceReply:
    """Revoke a token of the caller; administrators revoke any."""
    need_token(call.caller)
    principal = None if call.caller.rules else call.caller.principal
    call.service.people.tokens.revoke(
        call.path["token"], actor_of(call.caller), now=call.now, principal_id=principal
    )
    return ServiceReply(b"", HTTPStatus.NO_CONTENT, headers=NO_STORE)


def whoami(call: ServiceCall) -> ServiceReply:
    """The principal of the token, its roles, and the token itself."""
    need_token(call.caller)
    people, caller = call.service.people, call.caller
    own = people.tokens.all(call.now, caller.principal)
    token = next(row for row in own if caller.grant is not None and row.id == caller.grant.id)
    spaces = people.namespaces.visible(caller.principal, is_admin=False)
    return ServiceReply(
        WhoamiDocument(
            principal=caller.name,
            administrator=caller.is_admin,
            token=_token(token),
            roles={row.namespace: row.role for row in spaces if row.role is not None},
        )
    )


def exchange(call: ServiceCall) -> ServiceReply:
    """Give a token of 15 minutes for an OIDC token that a rule of trusted publishing names."""
    people, asked = call.service.people, call.document
    assert isinstance(asked, ExchangeRequest)  # noqa: S101 - by the table of endpoints
    identity = people.verifier.verify(asked.token, call.now)
    rules = _matching(call, identity, asked.namespace)
    if not people.publishers.use_once(identity.issuer, identity.jti, identity.expires, call.now):
        raise OidcRefusedError("it was exchanged before", hint="ask the issuer for a new token")
    claims = recorded_claims(identity)
    is_new = all(rule.publishes_new for rule in rules)
    actions: list[Action] = ["read", "publish", *(["publish-new"] if is_new else [])]  # type: ignore[list-item]
    wanted = TokenRights(
        rules[0].principal.name, actions, [rule.pattern for rule in rules], EXCHANGED,
        f"oidc {identity.issuer}"[:200], claims,
    )  # fmt: skip
    actor = Actor(rules[0].principal.id, claims=claims)
    row, secret = issue(people.tokens, wanted, actor, now=call.now)
    return ServiceReply(new_token(row, secret), HTTPStatus.CREATED)


def _matching(call: ServiceCall, identity: WorkflowIdentity, name: str | None) -> Sequence[RuleRow]:
    """The rules that name an identity. All belong to one namespace."""
    rules = call.service.people.publishers.of_issuer(identity.issuer, name)
    matching = [rule for rule in rules if rule_matches(rule.claims, identity.claims)]
    if not matching:
        raise OidcRefusedError(
            "no rule of trusted publishing names this workflow",
            hint="an owner of the namespace adds one: `skillpm registry namespace trust …`",
        )
    if len({rule.namespace for rule in matching}) > 1:
        raise OidcRefusedError("rules of several namespaces name it; name one as `namespace`")
    return matching


def _token(row: TokenRow) -> TokenDocument:
    return TokenDocument(
        id=row.id, principal=row.principal.name,
        actions=[action for action in ACTIONS if action in row.actions],
        patterns=list(row.patterns), created=time_text(row.created),
        expires=time_text(row.expires), note=row.note, revoked=row.revoked,
    )  # fmt: skip


def new_token(row: TokenRow, secret: str) -> NewToken:
    """A token with its secret, for the only answer that shows it."""
    return NewToken(**_token(row).model_dump(), token=secret)
