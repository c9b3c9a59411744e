"""Documents of registries, kept in the home. A damaged or foreign entry is not believed."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.files.access import open_below
from skillpm.files.ownership import is_owner_only
from skillpm.spec import json
from skillpm.spec.digests import Digest

FOLDER = "registries"
_HEAD_LIMIT = 16_384
_FRESH_LIMIT = 3600.0
"""The most seconds for which a document is used without asking again."""


@dataclass(frozen=True)
class CachedDocument:
    """A document as the registry sent it. `stored` is when it was last confirmed (Unix time).

    `max_age` is for how many seconds from then it may be used without asking the registry.
    """

    url: str
    body: bytes
    etag: str | None
    stored: float
    max_age: float

    def is_fresh(self, now: float) -> bool:
        """Whether the registry need not be asked. A time in the future is not believed."""
        return 0 <= now - self.stored < self.max_age


@dataclass(frozen=True)
class DocumentCache:
    """The documents of one registry: a file each in `cache/registries/KEY` of the home.

    `key` is the registry's URL without credentials. A file is a line of JSON and the document.
    """

    home: Path
    key: str

    @cached_property
    def _place(self) -> tuple[str, str, str]:
        return ("cache", FOLDER, _hashed(self.key))

    @cached_property
    def _is_trusted(self) -> bool:
        return is_owner_only(self.home.joinpath(*self._place))

    def find(self, url: str, limit: int) -> CachedDocument | None:
        """The kept document at a URL, of at most `limit` bytes; None if there is no valid one."""
        try:
            with open_below(self.home, *self._place) as folder:
                data = folder.read(_hashed(url), limit=limit + _HEAD_LIMIT)
        except SkillpmError:
            return None
        return _parse(data, url) if self._is_trusted else None

    def save(self, document: CachedDocument) -> None:
        """Keep a document. A cache that cannot be written is ignored."""
        head = {
            "url": document.url,
            "etag": document.etag,
            "stored": document.stored,
            "max_age": document.max_age,
            "digest": str(Digest.of(document.body)),
        }
        data = b"%s\n%s" % (json.canonical(head), document.body)
        staged = f".{os.urandom(8).hex()}.{os.getpid()}.tmp"
        with suppress(SkillpmError), open_below(self.home, *self._place, create=True) as folder:
            try:
                with folder.new_file(staged) as file:  # not synced: the digest shows a torn file
                    file.write(data)
                folder.move(staged, folder, _hashed(document.url))
            except OSError:
                with suppress(SkillpmError, OSError):
                    folder.remove(staged)

    def confirm(self, document: CachedDocument, now: float, headers: Mapping[str, str]) -> None:
        """Record that the registry has just confirmed a document."""
        self.save(replace(document, stored=now, max_age=max_age(headers)))

    def drop(self, url: str) -> None:
        """Forget a document."""
        with suppress(SkillpmError, OSError), open_below(self.home, *self._place) as folder:
            folder.remove(_hashed(url))

    def clear(self) -> None:
        """Forget all documents of the registry."""
        with suppress(SkillpmError), open_below(self.home, "cache", FOLDER) as folder:
            folder.remove_tree(self._place[-1])


def max_age(headers: Mapping[str, str]) -> float:
    """For how many seconds a response may be used without asking again, at most an hour."""
    seconds = 0.0
    for part in headers.get("cache-control", "").lower().split(","):
        name, _, value = part.strip().partition("=")
        if name in ("no-cache", "no-store"):
            return 0.0
        if name == "max-age" and value.isascii() and value.isdigit():
            seconds = float(value[:9])
    age = headers.get("age", "")
    spent = float(age[:9]) if age.isascii() and age.isdigit() else 0.0
    return max(0.0, min(seconds, _FRESH_LIMIT) - spent)


def may_keep(headers: Mapping[str, str]) -> bool:
    """Whether a response may be written to disk."""
    return "no-store" not in headers.get("cache-control", "").lower()


def _hashed(text: str) -> str:
    return Digest.of(text.encode()).hex[:32]


def _parse(data: bytes, url: str) -> CachedDocument | None:
    line, newline, body = data.partition(b"\n")
    try:
        head = json.parse_object(line, "a cached document")
    except SkillpmError:
        return None
    etag, stored, age = head.get("etag"), head.get("stored"), head.get("max_age")
    if not newline or head.get("url") != url or head.get("digest") != str(Digest.of(body)):
        return None
    if not isinstance(stored, int | float) or not isinstance(age, int | float):
        return None
    return CachedDocument(url, body, etag if isinstance(etag, str) else None, stored, age)
