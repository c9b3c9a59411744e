"""A registry over HTTP as the client sees it: static documents, and the service if it has one."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import BinaryIO, TypeVar, cast

from skillpm.errors import AuthError, RegistryError, SpecError
from skillpm.index.remote.addresses import config_below, index_url
from skillpm.index.remote.blob_stream import RemoteBlob
from skillpm.index.remote.documents import OfflineError, RemoteDocuments
from skillpm.index.remote.errors import BadReplyError, ReadOnlyRegistryError, UnreadableReplyError
from skillpm.index.remote.service import RegistryService
from skillpm.index.remote.transport import Transport
from skillpm.parallel import parallel_map
from skillpm.spec import json
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import parse_image
from skillpm.spec.origin import WebOrigin
from skillpm.spec.pack import check_pack
from skillpm.spec.registry_api import ReleaseDocument
from skillpm.spec.registry_people import WhoamiDocument
from skillpm.spec.release import Release
from skillpm.spec.served import (
    CONFIG_LIMIT,
    CONFIG_PATH,
    INDEX_LIMIT,
    RegistryConfig,
    blob_path,
    parse_index_document,
)
from skillpm.spec.versions import Version

PARALLEL_DOCUMENTS = 8
_NAMED = 3
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class RemotePublishResult:
    """The result of `publish`. `created` is false if the same digest was published before."""

    release: Release
    created: bool


class RemoteIndex:
    """The index of a registry at the URL `base`, which has no credentials and no final slash.

    Each document is read once in a command. Several threads may read at the same time.
    """

    def __init__(
        self,
        base: str,
        transport: Transport,
        documents: RemoteDocuments,
        say: Callable[[str], None],
    ) -> None:
        self.base = base
        self._transport = transport
        self._documents = documents
        self._say = say
        self._listed: dict[SkillName, tuple[Release, ...]] = {}

    @cached_property
    def config(self) -> RegistryConfig:
        """The registry's `config.json`, with URLs below `base` as `config_below` says."""
        data = self._documents.read(self.base + CONFIG_PATH, "config.json", CONFIG_LIMIT)
        if data is None:
            raise RegistryError(
                f"`{self.base}` is not a skillpm registry: it has no `config.json`",
                hint="check the URL; it ends where `/config.json` begins",
            )
        return self._parsed(partial(config_below, self.base), data, "config.json")

    def _parsed(self, parse: Callable[[bytes], Parsed], data: bytes, what: str) -> Parsed:
        try:
            return parse(data)
        except SpecError as problem:
            raise UnreadableReplyError(self._transport.origin, what, problem) from problem

    def _service(self, action: str) -> RegistryService:
        """The registry's service. Raises `ReadOnlyRegistryError` if it has none."""
        if self._documents.offline:
            raise OfflineError(self.base, action)
        url = self.config.parts.service
        if url is None:
            raise ReadOnlyRegistryError(self._transport.origin, action)
        self._note_other_origin(WebOrigin.of(url))
        return RegistryService(self._transport, url)

    def _writing_service(self, action: str) -> RegistryService:
        """As `_service`. Raises `AuthError` without credentials, before anything is sent."""
        service, transport = self._service(action), self._transport
        if transport.authorization is None:
            raise AuthError(
                f"registry `{transport.origin}` needs a token to {action}",
                hint=transport.credentials.hint(transport.location, authorized=False),
            )
        return service

    def _note_other_origin(self, service: WebOrigin) -> None:
        """Say that a service on another origin gets no token, if there is one for the registry."""
        if service != self._transport.origin and self._transport.authorization is not None:
            self._say(
                f"note: no token is sent to `{service}`, where the service of `{self.base}` is; to "
                f"use it: `--registry {service}`"
            )

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills, by skill and in the order of versions.

        Costs one document for each skill, several at a time. Unknown skills are absent; so are
        those that the user may not read.
        """
        missing = sorted(set(skills) - self._listed.keys())
        if missing:
            workers = min(len(missing), PARALLEL_DOCUMENTS)
            _ = self.config
            found = parallel_map(self._read_index, missing, workers=workers)
            self._listed.update(zip(missing, found, strict=True))
            self._note_withheld(skill for skill in missing if not self._listed[skill])
        return {skill: self._listed[skill] for skill in skills if self._listed[skill]}

    def _note_withheld(self, absent: Iterable[SkillName]) -> None:
        """Say that unlisted skills may be private, if `SKILLPM_TOKEN` was not sent."""
        names = ", ".join(f"`{skill}`" for skill in sorted(absent)[:_NAMED])
        transport = self._transport
        if not names or self._documents.offline or transport.authorization is not None:
            return
        if transport.credentials.withholds_token(transport.location):
            hint = transport.credentials.hint(transport.location, authorized=False)
            self._say(f"note: {self.base} does not list {names} without a token; {hint}")

    def _read_index(self, skill: SkillName) -> tuple[Release, ...]:
        what = f"the index of `{skill}`"
        data = self._documents.read(self._index_url(skill), what, INDEX_LIMIT)
        if data is None:
            return ()
        document = self._parsed(parse_index_document, data, what)
        if document.skill != skill:
            problem = f"it is the index of `{document.skill}`"
            raise BadReplyError(self._transport.origin, f"read {what}", problem)
        releases = [release.release(skill) for release in document.releases]
        twice = [v for v, count in Counter(r.version for r in releases).items() if count > 1]
        if twice:
            problem = f"it lists {skill} {twice[0]} twice"
            raise BadReplyError(self._transport.origin, f"read {what}", problem)
        return tuple(sorted(releases, key=lambda release: release.version))

    def _index_url(self, skill: SkillName) -> str:
        return index_url(self.config, skill)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A stream of a blob; it is asked for when the stream is read. See `RemoteBlob`."""
        action = f"read the blob `{digest.short}`"
        if self._documents.offline:
            raise OfflineError(self.base, action)
        parts, path = self.config.parts, blob_path(digest)
        urls = [parts.blobs + path]
        if parts.service is not None and f"{parts.service}/blobs" != parts.blobs:
            urls.append(f"{parts.service}/blobs{path}")
        return cast(BinaryIO, RemoteBlob(self._transport, urls, action))

    def publish(
        self, image: bytes, open_blob: Callable[[Digest], BinaryIO], *, now: datetime
    ) -> RemotePublishResult:
        """Upload the blobs that the registry lacks, then publish the release.

        Publishing the same digest again changes nothing. A killed command leaves no release, and
        the next one continues its uploads. The registry's clock dates the release.
        """
        del now
        service, parsed = self._writing_service("publish"), parse_image(image)
        with open_blob(parsed.config.digest) as stream:
            manifest = parse_manifest(_whole(stream, json.SIZE_LIMIT))
        check_pack(parsed, manifest)
        service.upload(manifest, parsed.blobs, open_blob)
        document = service.commit(image, manifest.ref)
        published = (document.skill, document.version, document.digest)
        if published != (manifest.skill, manifest.version, Digest.of(image)):
            problem = f"it says that it published `{document.digest}` as {_named(document)}"
            raise BadReplyError(self._transport.origin, f"publish {manifest.ref}", problem)
        self._forget(manifest.skill)
        if document.position is None:
            self._say(f"{manifest.ref} is queued: the registry lists it once its log continues")
        return RemotePublishResult(_release_of(document), document.created)

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Hide a release from new resolutions."""
        del now
        return self._set_state(skill, version, "yank", reason)

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Show a yanked release again."""
        return self._set_state(skill, version, "unyank", "")

    def _set_state(self, skill: SkillName, version: Version, verb: str, reason: str) -> Release:
        document = self._writing_service(verb).set_state(skill, version, verb, reason)
        if (document.skill, document.version) != (skill, version):
            problem = f"it answers for {_named(document)}"
            raise BadReplyError(self._transport.origin, f"{verb} {skill} {version}", problem)
        self._forget(skill)
        return _release_of(document)

    def _forget(self, skill: SkillName) -> None:
        """Forget the index document of a skill that this command has changed."""
        self._listed.pop(skill, None)
        self._documents.forget(self._index_url(skill))

    def search(self, text: str) -> list[Release]:
        """The newest release of each skill that matches a text, in the registry's order."""
        return [
            Release(
                skill=found.skill, version=found.version, digest=found.digest, size=found.size,
                base=found.base, summary=found.summary, license=found.license,
            )
            for found in self._service("search").search(text)
        ]  # fmt: skip

    def skills(self) -> list[SkillName]:
        """The names of skills that a search finds, sorted; none without a service."""
        try:
            return sorted(release.skill for release in self.search(""))
        except (ReadOnlyRegistryError, OfflineError):
            return []

    def advisories(self) -> list[Advisory]:
        """All advisories, also withdrawn ones, in the order of their identifiers."""
        url, what = f"{self.config.parts.advisories}/all.json", "the advisories"
        data = self._documents.read(url, what, json.SIZE_LIMIT)
        if data is None:
            return []
        plain = self._parsed(lambda data: json.parse_object(data, what), data, what)
        listed = json.canonical(plain.get("advisories", []))
        advisories = self._parsed(lambda data: parse_advisories(data, what), listed, what)
        return sorted(advisories, key=lambda advisory: advisory.id)

    def advise(self, advisory: Advisory, *, now: datetime) -> bool:
        """Publish a new or updated advisory. Returns False if it is already published."""
        del now
        changed = self._writing_service("publish advisories").advise(advisory)
        self._documents.forget(f"{self.config.parts.advisories}/all.json")
        return changed

    def withdraw(self, identifier: str, *, now: datetime) -> Advisory:
        """Withdraw an advisory."""
        del now
        advisory = self._writing_service("withdraw advisories").withdraw(identifier)
        self._documents.forget(f"{self.config.parts.advisories}/all.json")
        return advisory

    def whoami(self) -> WhoamiDocument:
        """The principal of the token that this command sends."""
        return self._service("log in").whoami()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


def _named(document: ReleaseDocument) -> str:
    return f"{document.skill} {document.version}"


def _release_of(document: ReleaseDocument) -> Release:
    return Release(
        skill=document.skill, version=document.version, digest=document.digest,
        yanked=document.state != "live", yank_reason=document.reason,
        quarantined=document.state == "quarantined",
    )  # fmt: skip


def _whole(stream: BinaryIO, limit: int) -> bytes:
    data = bytearray()
    while len(data) <= limit and (chunk := stream.read(limit + 1 - len(data))):
        data += chunk
    return bytes(data)
