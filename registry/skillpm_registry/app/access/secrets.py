"""The secrets of tokens: random, recognizable by scanners, stored only as a hash."""

import re
import secrets
from dataclasses import dataclass

from skillpm.spec.digests import Digest

PREFIX = "skillpm_"
_ID_BYTES, _SECRET_BYTES = 6, 32
_FORM = re.compile(r"skillpm_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """A new token: the text that its owner gets, and what the registry stores of it."""

    id: str
    text: str

    @property
    def digest(self) -> Digest:
        """The hash of the token. It has 256 random bits, so one round of SHA-256 is enough."""
        return digest_of(self.text)

    def __repr__(self) -> str:
        return f"TokenSecret(id={self.id!r})"


def new_secret() -> TokenSecret:
    """A new token from the operating system's random numbers."""
    identifier = secrets.token_hex(_ID_BYTES)
    return TokenSecret(identifier, f"{PREFIX}{identifier}_{secrets.token_urlsafe(_SECRET_BYTES)}")


def is_secret(text: str) -> bool:
    """Whether a text has the form of a token."""
    return _FORM.fullmatch(text) is not None


def digest_of(text: str) -> Digest:
    """The hash under which a token is stored."""
    return Digest.of(text.encode())
