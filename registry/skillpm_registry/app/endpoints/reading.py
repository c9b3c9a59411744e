"""What clients read: static documents, blobs, search and events."""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus

from skillpm.errors import NotFoundError, SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName, is_half
from skillpm.spec.registry_api import EventDocument, EventPage, FoundSkill, SearchPage
from skillpm.spec.versions import Version
from skillpm_registry.app.access.gate import actor_of
from skillpm_registry.app.documents import advisory_list, registry_config
from skillpm_registry.app.problems import HttpError
from skillpm_registry.app.replies import JSON, NO_STORE, ServiceReply, time_text
from skillpm_registry.app.service import ServiceCall
from skillpm_registry.catalog.actor import ANONYMOUS, Actor
from skillpm_registry.catalog.events import LoggedEvent
from skillpm_registry.catalog.people.values import Standing
from skillpm_registry.catalog.search import SearchResult

PAGE = 50
PAGE_LIMIT = 100
EVENTS_LIMIT = 1000
URL_LIFETIME = timedelta(minutes=10)
IMMUTABLE = "max-age=31536000, immutable"
_SHORT = "max-age=10"
_DIGITS = 18
_BYTES = "application/octet-stream"


def config(call: ServiceCall) -> ServiceReply:
    """`/config.json`."""
    return _cached(call, registry_config(call.service).canonical(), _SHORT)


def advisories(call: ServiceCall) -> ServiceReply:
    """`/advisories/all.json`."""
    return _cached(call, advisory_list(call.service).canonical(), _SHORT)


def public_index(call: ServiceCall) -> ServiceReply | None:
    """The index document of a skill from the static tree; None if it is not there."""
    data = call.service.backend.tree.get(f"index/{_skill(call)}.json")
    return None if data is None else _cached(call, data, _SHORT)


def index(call: ServiceCall) -> ServiceReply:
    """The index document of a skill. Public ones come from the static tree."""
    skill, public = _skill(call), public_index(call)
    if public is not None:
        return public
    call.service.people.gate.need(call.caller, "read", skill)
    found = call.service.backend.documents.find(skill, actor_of_reader(call))
    if found is None:
        raise NotFoundError(f"there is no skill `{skill}` in this registry")
    return _cached(call, found.body, f"private, {_SHORT}")


def index_of_digest(call: ServiceCall) -> ServiceReply:
    """The immutable form of an index document."""
    skill, digest = _skill(call), _digest(call.path["digest"])
    data = call.service.backend.tree.get(f"index/{skill}/{digest.hex}.json")
    if data is not None:
        return _cached(call, data, f"public, {IMMUTABLE}")
    call.service.people.gate.need(call.caller, "read", skill)
    found = call.service.backend.documents.find(skill, actor_of_reader(call))
    if found is None or found.digest != digest:
        raise NotFoundError(f"there is no document `{digest}` of skill `{skill}` in this registry")
    return _cached(call, found.body, f"private, {IMMUTABLE}")


def blob(call: ServiceCall) -> ServiceReply:
    """A blob of a release that the caller may read."""
    digest = _digest(call.path["digest"])
    if call.path["prefix"] != digest.hex[:2]:
        raise NotFoundError(f"blob `{digest}` is not in this registry")
    people = call.service.people
    skills = people.namespaces.skills_with_blob(digest)
    readable = (people.gate.may_read(call.caller, skill, private=private)
                for skill, private in skills)  # fmt: skip
    if not any(readable):
        raise NotFoundError(f"blob `{digest}` is not in this registry")
    is_public = not skills[0][1]
    cache = f"{'public' if is_public else 'private'}, {IMMUTABLE}"
    return _blob_reply(call, digest, {"cache-control": cache, "etag": f'"{digest.hex}"'})


def _blob_reply(call: ServiceCall, digest: Digest, headers: dict[str, str]) -> ServiceReply:
    blobs, accel = call.service.backend.blobs, call.service.config.accel_redirect
    if call.headers.get("if-none-match") == headers["etag"]:
        return ServiceReply(b"", HTTPStatus.NOT_MODIFIED, _BYTES, headers)
    file = blobs.file(digest)
    if file is not None and accel is None:
        return ServiceReply(file, HTTPStatus.OK, _BYTES, headers)
    if file is not None:
        path = f"{accel}/sha256/{digest.hex[:2]}/{digest.hex}"
        return ServiceReply(b"", HTTPStatus.OK, _BYTES, {**headers, "x-accel-redirect": path})
    url = blobs.url(digest, URL_LIFETIME)
    if url is None or blobs.size(digest) is None:
        raise NotFoundError(f"blob `{digest}` is missing from this registry")
    return ServiceReply(b"", HTTPStatus.TEMPORARY_REDIRECT, _BYTES, {**NO_STORE, "location": url})


def search(call: ServiceCall) -> ServiceReply:
    """Search skills by words and filters."""
    limit = _number(call, "limit", PAGE, PAGE_LIMIT)
    offset = _number(call, "after", 0, 10**6)
    found = call.service.backend.search.find(
        call.query.get("q", ""), actor_of_reader(call), limit=limit + 1, offset=offset
    )
    hidden = call.service.people.gate.hidden(call.caller)
    shown = [row for row in found[:limit] if _may_see(call, hidden, SkillName.parse(row.skill))]
    following = str(offset + limit) if len(found) > limit else None
    return ServiceReply(SearchPage(results=[_found(row) for row in shown], next=following))


def events(call: ServiceCall) -> ServiceReply:
    """The log of writes, from a position on."""
    after = _number(call, "after", 0, 10**_DIGITS)
    limit = _number(call, "limit", EVENTS_LIMIT, EVENTS_LIMIT)
    rows = call.service.backend.events.after(after, actor_of_reader(call), limit=max(1, limit))
    hidden = call.service.people.gate.hidden(call.caller)
    shown = [row for row in rows if _may_see_event(call, hidden, row)]
    following = rows[-1].position + 1 if rows else after
    return ServiceReply(EventPage(events=[_event(row) for row in shown], next=following))


def actor_of_reader(call: ServiceCall) -> Actor:
    """The actor of a reading request: anonymous, if the token may not read."""
    grant = call.caller.grant
    may_read = grant is not None and grant.actions & {"read", "admin"}
    return actor_of(call.caller) if may_read else ANONYMOUS


def _may_see(call: ServiceCall, hidden: Mapping[str, Standing], skill: SkillName) -> bool:
    standing = hidden.get(skill.namespace)
    return standing is None or call.caller.may("read", skill, standing.role)


def _may_see_event(call: ServiceCall, hidden: Mapping[str, Standing], row: LoggedEvent) -> bool:
    """Events that belong to no namespace are for administrators."""
    namespace = row.subject.namespace
    if namespace is None:
        return call.caller.rules
    standing = hidden.get(namespace)
    return standing is None or call.caller.may_in("read", namespace, standing.role)


def _found(row: SearchResult) -> FoundSkill:
    return FoundSkill(
        skill=SkillName.parse(row.skill),
        version=Version.parse(row.version),
        digest=Digest(row.digest),
        base=Digest(row.base),
        summary=row.summary,
        license=row.license,
        capabilities=list(row.capabilities),
        size=row.size,
    )


def _event(row: LoggedEvent) -> EventDocument:
    subject = row.subject
    return EventDocument(
        position=row.position, kind=row.kind, time=time_text(row.at), principal=row.principal,
        namespace=subject.namespace, subject=subject.subject, version=subject.version,
        digest=subject.digest, detail=dict(subject.detail),
    )  # fmt: skip


def _cached(call: ServiceCall, data: bytes, cache: str) -> ServiceReply:
    """A document with an ETag. The answer is 304 without a body if the client has it."""
    etag = f'"{Digest.of(data).hex}"'
    headers = {"etag": etag, "cache-control": cache}
    wanted = [
        tag.strip().removeprefix("W/") for tag in call.headers.get("if-none-match", "").split(",")
    ]
    if etag in wanted or "*" in wanted:
        return ServiceReply(b"", HTTPStatus.NOT_MODIFIED, JSON, headers)
    return ServiceReply(data, HTTPStatus.OK, JSON, headers)


def _skill(call: ServiceCall) -> SkillName:
    namespace, name = call.path["namespace"], call.path["name"]
    if not (is_half(namespace) and is_half(name)):
        raise NotFoundError("there is no such skill in this registry")
    return SkillName(namespace, name)


def _digest(text: str) -> Digest:
    try:
        return Digest(f"sha256:{text}")
    except SpecError as problem:
        raise NotFoundError("there is no such digest in this registry") from problem


def _number(call: ServiceCall, name: str, default: int, most: int) -> int:
    text = call.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= most):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"`{name}` is not a number of at most {most}")
    return int(text)
