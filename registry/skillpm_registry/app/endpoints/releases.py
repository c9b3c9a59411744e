"""Releases: publish, yank, unyank, quarantine, and release from quarantine."""

from collections.abc import Callable
from http import HTTPStatus

from skillpm.spec.names import SkillName
from skillpm.spec.registry_api import ReasonRequest, ReleaseDocument
from skillpm.spec.served import ReleaseState
from skillpm.spec.versions import Version
from skillpm_registry.app.access.gate import actor_of, need_token
from skillpm_registry.app.problems import ForbiddenError
from skillpm_registry.app.replies import ServiceReply
from skillpm_registry.app.service import ServiceCall
from skillpm_registry.catalog.changes import ReleaseChange

WAIT = 10.0
"""Seconds to wait for the sequencer. After that, the change is queued."""
_STATES: dict[str, ReleaseState] = {
    "live": "live", "yanked": "yanked", "quarantined": "quarantined",
}  # fmt: skip


def publish(call: ServiceCall) -> ServiceReply:
    """Publish the pack whose OCI manifest is the body. Its blobs must be present."""
    need_token(call.caller)
    backend, actor = call.service.backend, actor_of(call.caller)
    pack = backend.publisher.read(call.body, actor)
    spend = _check_rights(call, pack.manifest.skill)
    change = None
    try:
        change = backend.publisher.publish(call.body, actor, now=call.now, pack=pack)
    finally:
        if spend and (change is None or not change.created):
            call.service.people.tokens.restore(spend)
    if change.created:
        call.service.metrics.published.inc()
    return _reply(call, change)


def _check_rights(call: ServiceCall, skill: SkillName) -> str | None:
    """Raise unless the caller may publish the skill. Returns a token of single use to spend."""
    people, caller = call.service.people, call.caller
    is_new = people.gate.need_publish(caller, skill)
    if not is_new or caller.grant is None or not caller.grant.single_use:
        return None
    if not people.tokens.spend(caller.grant.id, call.now):
        raise ForbiddenError("the token was used before; it creates one skill")
    return caller.grant.id


def yank(call: ServiceCall) -> ServiceReply:
    """Hide a release from new resolutions."""
    return _change(call, lambda skill, version: call.service.backend.changes.yank(
        skill, version, _reason(call), actor_of(call.caller), now=call.now))  # fmt: skip


def unyank(call: ServiceCall) -> ServiceReply:
    """Undo a yank."""
    return _change(call, lambda skill, version: call.service.backend.changes.unyank(
        skill, version, actor_of(call.caller), now=call.now))  # fmt: skip


def quarantine(call: ServiceCall) -> ServiceReply:
    """Refuse a release everywhere, also where it is locked. Its bytes are kept."""
    return _change(call, lambda skill, version: call.service.backend.changes.quarantine(
        skill, version, _reason(call), actor_of(call.caller), now=call.now),
        needs_admin=True)  # fmt: skip


def release(call: ServiceCall) -> ServiceReply:
    """End a quarantine."""
    return _change(call, lambda skill, version: call.service.backend.changes.release(
        skill, version, actor_of(call.caller), now=call.now), needs_admin=True)  # fmt: skip


def _change(
    call: ServiceCall,
    change: Callable[[SkillName, Version], ReleaseChange],
    *,
    needs_admin: bool = False,
) -> ServiceReply:
    need_token(call.caller)
    skill = SkillName.parse(f"{call.path['namespace']}/{call.path['name']}")
    version = Version.parse(call.path["version"])
    call.service.people.gate.need(call.caller, "admin" if needs_admin else "yank", skill)
    return _reply(call, change(skill, version))


def _reason(call: ServiceCall) -> str:
    assert isinstance(call.document, ReasonRequest)  # noqa: S101 - by the table of endpoints
    return call.document.reason


def _reply(call: ServiceCall, change: ReleaseChange) -> ServiceReply:
    """The answer after the sequencer has numbered and rendered the change, or 202 if it waits."""
    position = None
    if change.leaf is not None:
        position = call.service.backend.sequencer.wait_for(change.leaf, WAIT)
    is_queued = change.leaf is not None and position is None
    document = ReleaseDocument(
        skill=change.skill,
        version=change.version,
        digest=change.digest,
        state=_STATES[change.state],
        reason=change.reason,
        created=change.created,
        position=position,
    )
    status = HTTPStatus.CREATED if change.created else HTTPStatus.OK
    return ServiceReply(document, HTTPStatus.ACCEPTED if is_queued else status)
