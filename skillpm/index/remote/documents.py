"""Documents of a registry: from the cache while they are fresh, else asked for with their ETag."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from skillpm.errors import RegistryError
from skillpm.index.remote.cache import CachedDocument, DocumentCache, max_age, may_keep
from skillpm.index.remote.errors import GONE, NOT_FOUND, BadReplyError
from skillpm.index.remote.transport import Call, Reply, Transport
from skillpm.spec.digests import Digest

_OK, _NOT_MODIFIED = 200, 304
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,256}"')
_DIGEST_TAG = re.compile(r'(?:W/)?"(?:sha256:)?([0-9a-f]{64})"')


class OfflineError(RegistryError):
    """A document or a blob is not stored, and `--offline` forbids to ask for it."""

    def __init__(self, registry: str, what: str) -> None:
        super().__init__(
            f"registry `{registry}` needs the network to {what}, but `--offline` is set",
            hint="run the command without `--offline`, or use a registry in a folder: "
            "`--registry ./registry`",
        )


@dataclass(frozen=True)
class RemoteDocuments:
    """Reads the documents of one registry. `now` is the time of the command (Unix time).

    Offline, documents of any age come from the cache, and nothing is asked for.
    """

    transport: Transport
    cache: DocumentCache
    now: float
    offline: bool = False

    def read(self, url: str, what: str, limit: int) -> bytes | None:
        """The document at a URL; None if the registry has none. `what` names it in errors.

        Raises `OfflineError`, and what `Transport.ask` raises.
        """
        kept = self.cache.find(url, limit)
        if self.offline:
            if kept is None:
                raise OfflineError(self.cache.key, f"read {what}")
            return kept.body
        if kept is not None and kept.is_fresh(self.now):
            return kept.body
        return self._ask(url, what, limit, kept)

    def forget(self, url: str) -> None:
        """Remove a document from the cache, because this command has changed it."""
        self.cache.drop(url)

    def _ask(self, url: str, what: str, limit: int, kept: CachedDocument | None) -> bytes | None:
        headers = {"accept-encoding": "gzip", "accept": "application/json"}
        if kept is not None and kept.etag:
            headers["if-none-match"] = kept.etag
        call = Call("GET", url, f"read {what}", headers, limit=limit)
        reply = self.transport.send(call)
        if reply.status == _NOT_MODIFIED and kept is not None and kept.etag:
            self.cache.confirm(kept, self.now, reply.headers)
            return kept.body
        if reply.status in (NOT_FOUND, GONE):
            self.cache.drop(url)
            return None
        if reply.status != _OK:
            raise self.transport.refusal(call.action, reply.status, reply.problem)
        return self._kept(call, reply)

    def _kept(self, call: Call, reply: Reply) -> bytes:
        etag = _entity_tag(reply.headers)
        named = _DIGEST_TAG.fullmatch(etag or "")
        found = Digest.of(reply.body)
        if named and named[1] != found.hex:
            problem = f"its ETag is `{named[1]}`, but its digest is `{found}`"
            raise BadReplyError(self.transport.origin, call.action, problem)
        if may_keep(reply.headers):
            age = max_age(reply.headers)
            self.cache.save(CachedDocument(call.url, reply.body, etag, self.now, age))
        return reply.body


def _entity_tag(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("etag", "")
    return etag if _ETAG.fullmatch(etag) else None
