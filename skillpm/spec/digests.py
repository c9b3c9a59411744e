"""Digests, `sha256:<64 lower-case hex digits>`: the identity of blobs, leaves and roots."""

import hashlib
import re
from dataclasses import dataclass

from skillpm.errors import DigestMismatchError, SpecError

_FORM = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, order=True, slots=True)
class Digest:
    """A SHA-256 digest. `str` gives its only written form."""

    text: str

    def __post_init__(self) -> None:
        if _FORM.fullmatch(self.text) is None:
            raise SpecError(f"{self.text!r} is not a digest: expected `sha256:` and 64 hex digits")

    @classmethod
    def of(cls, data: bytes) -> "Digest":
        """The digest of `data`."""
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}")

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Digest":
        """The digest with the 32 bytes `raw`."""
        return cls(f"sha256:{raw.hex()}")

    @property
    def hex(self) -> str:
        """The 64 hex digits without the prefix. This is the file name of a blob."""
        return self.text[7:]

    @property
    def raw(self) -> bytes:
        """The 32 bytes."""
        return bytes.fromhex(self.hex)

    @property
    def short(self) -> str:
        """A short form for messages: `sha256:9f2c41d0ab…`."""
        return f"{self.text[:19]}…"

    def check(self, data: bytes, what: str) -> None:
        """Raise `DigestMismatchError` unless `data` has this digest."""
        found = Digest.of(data)
        if found != self:
            raise DigestMismatchError(what, expected=self.text, found=found.text)

    def __str__(self) -> str:
        return self.text
