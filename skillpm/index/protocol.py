"""The protocol of an index. Each kind of registry implements it structurally."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, NoReturn, Protocol

from skillpm.errors import UsageError
from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.versions import Version


class PublishedRelease(Protocol):
    """The result of publishing: the release, and whether it is new."""

    @property
    def release(self) -> Release:
        """The release as the registry lists it."""
        ...

    @property
    def created(self) -> bool:
        """False if the registry already had the same digest."""
        ...


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """Whose token a registry accepts, and when the token expires (RFC 3339)."""

    principal: str
    expires: str | None


class Account(Protocol):
    """The user's account at a registry over HTTP."""

    def identity(self) -> AccountIdentity:
        """The owner of the token that commands send. Raises `AuthError` if there is none."""
        ...

    def log_in(self, token: str) -> tuple[AccountIdentity, str]:
        """Check and store a token. Returns its owner, and the place of the token as a clause."""
        ...

    def log_out(self) -> bool:
        """Forget the stored token. Returns whether there was one."""
        ...


def no_account(location: RegistryLocation) -> NoReturn:
    """Raise `UsageError`: the registry has no accounts."""
    raise UsageError(
        f"registry `{location}` is a folder, which has no accounts",
        hint="name a registry over HTTP: `--registry https://skills.example.org`",
    )


class Index(Protocol):
    """A registry from the client's point of view."""

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        """All releases of these skills, including yanked ones. Unknown skills are absent."""
        ...

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob as a stream, whose reads may return fewer bytes than asked for.

        Raises `NotFoundError`, here or when the stream is read.
        """
        ...

    def publish(
        self, image: bytes, open_blob: Callable[[Digest], BinaryIO], *, now: datetime
    ) -> PublishedRelease:
        """Publish a pack atomically. `image` is the OCI manifest."""
        ...

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Hide a release from new resolutions."""
        ...

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Show a yanked release again."""
        ...

    def search(self, text: str) -> list[Release]:
        """The latest release of each skill that matches a text."""
        ...

    def advisories(self) -> Sequence[Advisory]:
        """All advisories, including withdrawn ones, sorted by identifier."""
        ...

    def advise(self, advisory: Advisory, *, now: datetime) -> bool:
        """Publish a new or updated advisory. Returns False if it is already published."""
        ...

    def withdraw(self, identifier: str, *, now: datetime) -> Advisory:
        """Withdraw an advisory. Raises `NotFoundError`."""
        ...

    def skills(self) -> list[SkillName]:
        """All skills."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...
