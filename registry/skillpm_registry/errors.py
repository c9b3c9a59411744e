"""Errors of the registry. Each belongs to a family of `skillpm.errors`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from skillpm.errors import (
    IntegrityError,
    NotFoundError,
    RegistryError,
    StateError,
    UnknownSkillError,
)
from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

Place = Path | str
"""A registry in messages: its folder, or the URL of its database without a password."""


class RegistryUnreachableError(RegistryError):
    """A folder is not a registry, or cannot be read."""

    def __init__(self, path: Place, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"registry `{path}` cannot be read: {reason}", hint=hint)
        self.path = path


class CatalogueMissingError(RegistryError):
    """A registry has blobs but no catalogue.

    A new catalogue is not created, because it would list none of the published releases.
    """

    def __init__(self, path: Place) -> None:
        super().__init__(
            f"registry `{path}` has blobs, but its catalogue registry.db is missing",
            hint="restore registry.db from a backup; skillpm does not replace it",
        )
        self.path = path


class RegistryCorruptError(RegistryError):
    """A catalogue is damaged, or is not a database of skillpm."""

    def __init__(self, path: Place, reason: str) -> None:
        if isinstance(path, str):
            super().__init__(f"the database `{path}` is corrupt: {reason}")
            return
        super().__init__(
            f"the catalogue registry.db of registry `{path}` is corrupt: {reason}",
            hint="restore registry.db from a backup, or publish the packs to a new registry: "
            "`skillpm registry init NEW_FOLDER`",
        )
        self.path = path


class RegistryUnfinishedError(RegistryCorruptError):
    """A catalogue is incomplete, and nothing was published: creating it was interrupted."""

    def __init__(self, path: Place) -> None:
        super().__init__(path, "its creation was interrupted, perhaps by a full disk")
        self.hint = (
            f"`skillpm registry init {path}` creates it again; nothing is lost, because nothing "
            "was published to it"
        )


class RegistryNewerError(RegistryError):
    """A newer version of skillpm has written the catalogue."""

    def __init__(self, path: Place, *, found: str, known: str) -> None:
        super().__init__(
            f"registry `{path}` has schema {found}, but this skillpm reads up to schema {known}",
            hint="upgrade skillpm: `pip install --upgrade skillpm-graft`",
        )
        self.path = path
        self.found = found


class RegistryReadOnlyError(StateError):
    """This user cannot write to the registry."""

    def __init__(self, path: Place) -> None:
        super().__init__(
            f"registry `{path}` cannot be written: it is read-only for this user",
            hint="name a registry in which you can write with `--registry PATH`",
        )
        self.path = path


class RegistryFullError(StateError):
    """The registry's disk is full. The registry is not changed."""

    def __init__(self, path: Place) -> None:
        super().__init__(
            f"registry `{path}` cannot be written: its disk is full",
            hint="free disk space, then run the command again; nothing was changed",
        )
        self.path = path


class RegistryBusyError(StateError):
    """Another process holds the registry's lock, and the waiting time has ended."""

    def __init__(self, path: Place, *, holder: str) -> None:
        super().__init__(
            f"registry `{path}` is being written by {holder}",
            hint="wait until that process ends, then run the command again",
        )
        self.path = path
        self.holder = holder


class FolderNotEmptyError(StateError):
    """A folder cannot become a registry, because it contains other files."""

    def __init__(self, path: Place) -> None:
        super().__init__(
            f"`{path}` cannot become a registry: it is not empty",
            hint="name an empty or a new folder: `skillpm registry init FOLDER`",
        )
        self.path = path


class NotSharedError(StateError):
    """A registry exists already and is not shared with a group."""

    def __init__(self, path: Place) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(
            f"`{path}` is a registry already, and is not shared with a group",
            hint=f"`chmod -R g+rwX {quoted} && find {quoted} -type d -exec chmod g+s {{}} +`",
        )
        self.path = path


class ReleaseExistsError(StateError):
    """A release is published already, with other contents. Releases are immutable."""

    def __init__(self, skill: SkillName, version: Version, *, existing: str, offered: str) -> None:
        super().__init__(
            f"`{skill}` {version} is already published as `{existing}`, and cannot become "
            f"`{offered}`: releases are immutable",
            hint="pack the skill again with a higher version: `skillpm pack … --version NEXT`",
        )
        self.existing = existing
        self.offered = offered


class UnknownReleaseError(UnknownSkillError):
    """A release is not in the registry."""

    def __init__(self, path: Place, skill: SkillName, version: Version) -> None:
        super().__init__(
            f"`{skill}` {version} is not in registry `{path}`",
            hint=f"`skillpm show {skill}` lists the published versions",
        )
        self.skill = skill
        self.version = version


class BlobNotFoundError(NotFoundError):
    """A blob is not in the registry and was not published to it."""

    def __init__(self, path: Place, digest: Digest) -> None:
        super().__init__(f"blob `{digest}` is not in registry `{path}`")
        self.digest = digest


class BlobMissingError(IntegrityError):
    """The file of a published blob is missing."""

    def __init__(self, path: Place, digest: Digest) -> None:
        super().__init__(
            f"blob `{digest}` of a published release is missing from registry `{path}`",
            hint="publish the same pack again to restore its missing blobs",
        )
        self.digest = digest


class BlobKindError(IntegrityError):
    """A link, pipe, device or folder has the name of a blob. It is not opened."""

    def __init__(self, path: Place, digest: Digest, *, found: str) -> None:
        super().__init__(
            f"blob `{digest}` of registry `{path}` should be a regular file, is {found}",
            hint="publish the same pack again to restore its damaged blobs",
        )
        self.digest = digest


class BlobSizeError(IntegrityError):
    """A blob is longer or shorter than the pack states."""

    def __init__(self, digest: Digest, *, expected: int, found: str) -> None:
        super().__init__(f"blob `{digest}` should have {expected} bytes, but is {found}")
        self.digest = digest
        self.expected = expected


class SourceUnreadableError(StateError):
    """A blob of the pack to publish cannot be read."""

    def __init__(self, digest: Digest, reason: str) -> None:
        super().__init__(f"blob `{digest}` of the pack cannot be read: {reason}")
        self.digest = digest


class UnknownAdvisoryError(NotFoundError):
    """An advisory is not in the registry."""

    def __init__(self, path: Place, identifier: str) -> None:
        super().__init__(
            f"there is no advisory `{identifier}` in registry `{path}`",
            hint="`skillpm registry advisory list` lists the published advisories",
        )
        self.identifier = identifier


class AdvisoryOutdatedError(StateError):
    """A different version of an advisory is published already and is not older."""

    def __init__(self, advisory: Advisory, *, published: str) -> None:
        super().__init__(
            f"advisory `{advisory.id}` has been published with `modified` {published}; a different "
            f"version with `modified` {advisory.modified} cannot replace it",
            hint=f"set `modified` to a time after {published}",
        )
        self.published = published


class UnknownAffectedError(UnknownSkillError):
    """An advisory affects skills that are not in the registry, or no skill."""

    def __init__(self, path: Place, advisory: Advisory, skills: Sequence[SkillName]) -> None:
        affected = f"`{skills[0]}`, which is not in registry `{path}`" if skills else "no skill"
        super().__init__(
            f"advisory `{advisory.id}` affects {affected}",
            hint="`skillpm search` lists the skills; the `package` of an entry in `affected` has "
            'the form {"ecosystem": "skillpm", "name": "acme/math"}',
        )
