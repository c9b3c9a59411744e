"""Namespaces, their members, and their rules of trusted publishing."""

from http import HTTPStatus

from skillpm.errors import NotFoundError
from skillpm.spec.registry_people import (
    MemberDocument,
    MemberList,
    MemberRequest,
    NamespaceChange,
    NamespaceDocument,
    NamespaceList,
    NamespaceRequest,
    PublisherDocument,
    PublisherList,
    PublisherRequest,
)
from skillpm_registry.app.access.gate import actor_of
from skillpm_registry.app.access.oidc import rule_problems
from skillpm_registry.app.documents import write_documents
from skillpm_registry.app.problems import ForbiddenError, HttpError
from skillpm_registry.app.replies import NO_STORE, ServiceReply, time_text
from skillpm_registry.app.service import ServiceCall
from skillpm_registry.catalog.people.publishers import RuleGiven
from skillpm_registry.catalog.people.values import RuleRow, Standing
from skillpm_registry.publishing.tree import hide_documents


def create(call: ServiceCall) -> ServiceReply:
    """Create a namespace. Only administrators may: names are granted, and never recycled."""
    people, caller = call.service.people, call.caller
    people.gate.need_rule(caller)
    asked = call.document
    assert isinstance(asked, NamespaceRequest)  # noqa: S101 - by the table of endpoints
    if asked.name in call.service.config.reserved_namespaces:
        raise ForbiddenError(f"the namespace `{asked.name}` is reserved")
    standing = people.namespaces.create(
        asked.name,
        asked.owner or caller.name,
        actor_of(caller),
        private=asked.private,
        quota=call.service.config.limits.namespace_bytes,
        now=call.now,
    )
    write_documents(call.service)
    return ServiceReply(_namespace(standing), HTTPStatus.CREATED)


def listed(call: ServiceCall) -> ServiceReply:
    """The namespaces that the caller may know of."""
    rows = call.service.people.namespaces.visible(call.caller.principal, is_admin=call.caller.rules)
    return ServiceReply(NamespaceList(namespaces=[_namespace(row) for row in rows]))


def find(call: ServiceCall) -> ServiceReply:
    """One namespace."""
    return ServiceReply(_namespace(call.service.people.gate.standing(call.caller, _name(call))))


def change(call: ServiceCall) -> ServiceReply:
    """Make a namespace private. Its documents leave the static tree before the answer."""
    people, asked, name = call.service.people, call.document, _name(call)
    assert isinstance(asked, NamespaceChange)  # noqa: S101 - by the table of endpoints
    people.gate.need_in(call.caller, "admin", name)
    people.namespaces.set_private(name, actor_of(call.caller), private=asked.private, now=call.now)
    if asked.private:
        hide_documents(call.service.backend.tree, name)
        write_documents(call.service)
    return find(call)


def members(call: ServiceCall) -> ServiceReply:
    """The members of a namespace. Those of a public one are public."""
    people = call.service.people
    people.gate.need_in(call.caller, "read", _name(call))
    rows = people.namespaces.members(_name(call))
    documents = [
        MemberDocument(principal=row.principal, role=row.role, since=time_text(row.since))
        for row in rows
    ]
    return ServiceReply(MemberList(members=documents))


def grant(call: ServiceCall) -> ServiceReply:
    """Give a principal a role."""
    people, asked = call.service.people, call.document
    assert isinstance(asked, MemberRequest)  # noqa: S101 - by the table of endpoints
    people.gate.need_in(call.caller, "admin", _name(call))
    people.namespaces.grant(
        _name(call), asked.principal, asked.role, actor_of(call.caller), now=call.now
    )
    return members(call)


def revoke(call: ServiceCall) -> ServiceReply:
    """Remove a member."""
    people, member = call.service.people, call.path["principal"]
    people.gate.need_in(call.caller, "admin", _name(call))
    if not people.namespaces.revoke(_name(call), member, actor_of(call.caller), now=call.now):
        raise NotFoundError(f"`{member[:128]}` is no member of `{_name(call)}`")
    return ServiceReply(b"", HTTPStatus.NO_CONTENT, headers=NO_STORE)


def publishers(call: ServiceCall) -> ServiceReply:
    """The rules of trusted publishing of a namespace."""
    people = call.service.people
    people.gate.need_in(call.caller, "read", _name(call))
    rules = people.publishers.of_namespace(_name(call))
    return ServiceReply(PublisherList(publishers=[_publisher(rule) for rule in rules]))


def trust(call: ServiceCall) -> ServiceReply:
    """Add a rule of trusted publishing."""
    people, asked, name = call.service.people, call.document, _name(call)
    assert isinstance(asked, PublisherRequest)  # noqa: S101 - by the table of endpoints
    people.gate.need_in(call.caller, "admin", name)
    _check_rule(call, asked)
    given = RuleGiven(name, asked.pattern, asked.issuer, asked.claims, asked.new)
    rule = people.publishers.add(given, actor_of(call.caller), now=call.now)
    return ServiceReply(_publisher(rule), HTTPStatus.CREATED)


def distrust(call: ServiceCall) -> ServiceReply:
    """Remove a rule; its tokens end at once."""
    people, name = call.service.people, _name(call)
    people.gate.need_in(call.caller, "admin", name)
    people.publishers.remove(name, call.path["publisher"], actor_of(call.caller), now=call.now)
    return ServiceReply(b"", HTTPStatus.NO_CONTENT, headers=NO_STORE)


def _check_rule(call: ServiceCall, asked: PublisherRequest) -> None:
    issuers = {entry.issuer: entry for entry in call.service.config.oidc}
    config = issuers.get(asked.issuer)
    if config is None:
        known = ", ".join(f"`{issuer}`" for issuer in issuers) or "none"
        raise HttpError(
            HTTPStatus.BAD_REQUEST,
            f"the issuer `{asked.issuer}` is not configured in this registry; it knows {known}",
            kind="spec",
        )
    if not asked.pattern.startswith(f"{_name(call)}/"):
        raise HttpError(
            HTTPStatus.BAD_REQUEST,
            f"the pattern `{asked.pattern}` is not in the namespace `{_name(call)}`",
            kind="spec",
        )
    problems = rule_problems(config, asked.claims)
    if problems:
        text = "; ".join(problems)
        raise HttpError(HTTPStatus.BAD_REQUEST, f"the rule is too weak: {text}", kind="spec")


def _name(call: ServiceCall) -> str:
    return call.path["namespace"]


def _namespace(standing: Standing) -> NamespaceDocument:
    return NamespaceDocument(
        name=standing.namespace,
        private=standing.private,
        role=standing.role,
        created=time_text(standing.created),
    )


def _publisher(rule: RuleRow) -> PublisherDocument:
    return PublisherDocument(
        id=str(rule.id), issuer=rule.issuer, claims=dict(rule.claims), pattern=rule.pattern,
        new=rule.publishes_new, since=time_text(rule.created),
    )  # fmt: skip
