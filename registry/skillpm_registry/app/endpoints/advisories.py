"""Advisories: list, publish, withdraw."""

from skillpm.errors import SpecError
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm.spec.names import SkillName
from skillpm.spec.registry_api import AdvisoryResult
from skillpm.spec.served import AdvisoryList
from skillpm_registry.app.access.gate import actor_of, need_token
from skillpm_registry.app.documents import write_documents
from skillpm_registry.app.replies import ServiceReply
from skillpm_registry.app.service import ServiceCall
from skillpm_registry.catalog.advising import advise, record_advisory, withdraw
from skillpm_registry.errors import UnknownAdvisoryError


def listed(call: ServiceCall) -> ServiceReply:
    """All advisories about skills that the caller may read."""
    people, advisories = call.service.people, call.service.backend.advisories
    hidden = people.namespaces.private()
    shown = [
        advisory
        for advisory in advisories.all()
        if all(
            people.gate.may_read(call.caller, skill, private=skill.namespace in hidden)
            for skill in affected(advisory)
        )
    ]
    return ServiceReply(AdvisoryList(advisories=[advisory.to_dict() for advisory in shown]))


def publish(call: ServiceCall) -> ServiceReply:
    """Publish an advisory in OSV form, or a newer version of one.

    The caller must administer the namespaces of all skills that it affects.
    """
    need_token(call.caller)
    found = parse_advisories(call.body, "the advisory")
    if len(found) != 1:
        raise SpecError(f"expected one advisory, found {len(found)}")
    backend, advisory = call.service.backend, found[0]
    _check_rights(call, advisory)
    published = backend.advisories.find(advisory.id)
    if published is not None:
        _check_rights(call, published)
    changed = advise(backend.advisories, advisory, backend.catalog.skills(), now=call.now)
    if changed:
        _record(call, "advisory", advisory)
    write_documents(call.service)
    return ServiceReply(AdvisoryResult(advisory=advisory.to_dict(), changed=changed))


def retract(call: ServiceCall) -> ServiceReply:
    """Withdraw an advisory: it stays listed, but no longer affects releases."""
    need_token(call.caller)
    backend, identifier = call.service.backend, call.path["advisory"]
    published = backend.advisories.find(identifier)
    if published is None:
        raise UnknownAdvisoryError(backend.database.place, identifier[:128])
    _check_rights(call, published)
    advisory, changed = withdraw(backend.advisories, identifier, now=call.now)
    if changed:
        _record(call, "advisory-withdrawn", advisory)
    write_documents(call.service)
    return ServiceReply(AdvisoryResult(advisory=advisory.to_dict(), changed=changed))


def affected(advisory: Advisory) -> list[SkillName]:
    """The skills that an advisory affects, sorted."""
    return sorted({entry.name for entry in advisory.skills()})


def _record(call: ServiceCall, kind: str, advisory: Advisory) -> None:
    advisories, actor = call.service.backend.advisories, actor_of(call.caller)
    record_advisory(advisories, kind, advisory, actor, now=call.now)


def _check_rights(call: ServiceCall, advisory: Advisory) -> None:
    for skill in affected(advisory):
        call.service.people.gate.need(call.caller, "admin", skill)
