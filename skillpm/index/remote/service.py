"""The service of a registry: publish, yank, search, advisories, and whose token is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol
from urllib.parse import quote, urlencode

from skillpm.index.remote.answers import JSON_TYPE, check_answer, read_answer
from skillpm.index.remote.errors import NOT_ALLOWED, NOT_FOUND, ReadOnlyRegistryError
from skillpm.index.remote.transport import Call, Reply, Transport
from skillpm.index.remote.upload import FINISH_TIMEOUT, Uploader
from skillpm.parallel import parallel_map
from skillpm.spec import json
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import MANIFEST_TYPE
from skillpm.spec.registry_api import (
    AdvisoryResult,
    FoundSkill,
    ReasonRequest,
    ReleaseDocument,
    SearchPage,
)
from skillpm.spec.registry_people import WhoamiDocument
from skillpm.spec.versions import Version

PARALLEL_UPLOADS = 4
_SEARCH_LIMIT = 1000
_SEARCH_BYTES = 16_000_000


class NamedRelease(Protocol):
    """A manifest, or another object that names a release."""

    @property
    def skill(self) -> SkillName:
        """The skill."""
        ...

    @property
    def ref(self) -> str:
        """The release in messages."""
        ...


@dataclass(frozen=True)
class RegistryService:
    """Requests below `/v1` of a URL."""

    transport: Transport
    url: str

    def upload(
        self,
        release: NamedRelease,
        sizes: Mapping[Digest, int],
        open_blob: Callable[[Digest], BinaryIO],
    ) -> int:
        """Upload the blobs of a release that the registry lacks, several at a time.

        Returns the bytes sent.
        """
        action = f"publish {release.ref}"
        uploader = Uploader(self.transport, self.url, release.skill.namespace, action)
        sent = parallel_map(
            lambda blob: uploader.upload(*blob, open_blob),
            sizes.items(),
            workers=min(len(sizes), PARALLEL_UPLOADS) or 1,
        )
        return sum(sent)

    def commit(self, image: bytes, ref: str) -> ReleaseDocument:
        """Publish a release whose blobs are present; the body is its OCI manifest."""
        headers, action = {"content-type": MANIFEST_TYPE}, f"publish {ref}"
        url = f"{self.url}/v1/releases"
        call = Call("POST", url, action, headers, image, timeout=FINISH_TIMEOUT)
        return read_answer(ReleaseDocument, self._ask(call, "publish"), self.transport)

    def set_state(
        self, skill: SkillName, version: Version, verb: str, reason: str
    ) -> ReleaseDocument:
        """`yank` or `unyank` a release."""
        path = f"/v1/releases/{skill.namespace}/{skill.name}/{quote(str(version), safe='')}/{verb}"
        body = json.canonical(ReasonRequest(reason=reason).to_dict()) if verb == "yank" else b""
        headers = {"content-type": JSON_TYPE}
        call = Call("POST", self.url + path, f"{verb} `{skill}` {version}", headers, body)
        return read_answer(ReleaseDocument, self._ask(call, verb), self.transport)

    def search(self, text: str) -> list[FoundSkill]:
        """The skills that match a text, at most 1,000."""
        found: list[FoundSkill] = []
        after: str | None = None
        while len(found) < _SEARCH_LIMIT:
            query = urlencode({"q": text} if after is None else {"q": text, "after": after})
            url = f"{self.url}/v1/search?{query}"
            call = Call("GET", url, f"search for `{text}`", _GZIP, limit=_SEARCH_BYTES)
            page = read_answer(SearchPage, self._ask(call, "search"), self.transport)
            found += page.results
            if page.next is None or page.next == after or not page.results:
                break
            after = page.next
        return found[:_SEARCH_LIMIT]

    def whoami(self) -> WhoamiDocument:
        """The principal of the token that is sent."""
        call = Call("GET", f"{self.url}/v1/whoami", "name the owner of the token")
        return read_answer(WhoamiDocument, self._ask(call, "log in"), self.transport)

    def advise(self, advisory: Advisory) -> bool:
        """Publish an advisory. Returns whether the registry changed."""
        headers = {"content-type": JSON_TYPE}
        action = f"publish the advisory `{advisory.id}`"
        call = Call("POST", f"{self.url}/v1/advisories", action, headers, advisory.canonical())
        return read_answer(AdvisoryResult, self._ask(call, action), self.transport).changed

    def withdraw(self, identifier: str) -> Advisory:
        """Withdraw an advisory."""
        url = f"{self.url}/v1/advisories/{quote(identifier, safe='')}/withdraw"
        action = f"withdraw the advisory `{identifier}`"
        reply = self._ask(Call("POST", url, action), action)
        result = read_answer(AdvisoryResult, reply, self.transport)
        return parse_advisories(json.canonical(result.advisory), "the advisory")[0]

    def _ask(self, call: Call, verb: str) -> Reply:
        """Send a request. Raises `ReadOnlyRegistryError` if there is no service at the URL.

        A service describes its errors; a static server answers 404 or 405 in its own way.
        """
        reply = self.transport.send(call)
        if reply.status in (NOT_FOUND, NOT_ALLOWED) and not reply.problem.detail:
            raise ReadOnlyRegistryError(self.transport.origin, verb)
        check_answer(call, reply, self.transport)
        return reply


_GZIP = {"accept-encoding": "gzip"}
