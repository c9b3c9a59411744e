"""What can be wrong with a registry; each error belongs to a family of `skillpm.errors`."""

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


class RegistryUnreachableError(RegistryError):
    """A folder that is no registry, or that the system does not let us read."""

    def __init__(self, path: Path, why: str, *, hint: str | None = None) -> None:
        super().__init__(f"registry `{path}` cannot be reached: {why}", hint=hint)
        self.path = path


class CatalogueMissingError(RegistryError):
    """Blobs without a catalogue: an empty one would hide every release there is."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"registry `{path}` has blobs, but its catalogue registry.db is missing",
            hint="restore registry.db from a backup; nothing was created in its place",
        )
        self.path = path


class RegistryCorruptError(RegistryError):
    """A catalogue that is no database of ours, or a damaged one."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"the catalogue registry.db of registry `{path}` is corrupt: {why}",
            hint="restore registry.db from a backup, or publish the packs to a new registry: "
            "`skillpm registry init NEW_FOLDER`",
        )
        self.path = path


class RegistryUnfinishedError(RegistryCorruptError):
    """A catalogue that was never whole: making it was cut off, before anything was published."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "making it was cut off, perhaps by a full disk")
        self.hint = f"nothing was published to it; make it again: `skillpm registry init {path}`"


class RegistryNewerError(RegistryError):
    """A catalogue whose schema a newer skillpm has written."""

    def __init__(self, path: Path, *, found: str, known: str) -> None:
        super().__init__(
            f"registry `{path}` has schema {found}, but this skillpm reads up to schema {known}",
            hint="upgrade skillpm: `pip install --upgrade skillpm-graft`",
        )
        self.path = path
        self.found = found


class RegistryReadOnlyError(StateError):
    """A registry that the system does not let us write."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"registry `{path}` cannot be written: it is read-only for this user",
            hint="name a registry of your own with `--registry PATH`",
        )
        self.path = path


class RegistryFullError(StateError):
    """No space is left for what was to be written; what was there before is untouched."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"registry `{path}` cannot be written: its disk is full",
            hint="make space and repeat the command: nothing was changed",
        )
        self.path = path


class RegistryBusyError(StateError):
    """Another process held the registry for longer than we wait."""

    def __init__(self, path: Path, *, holder: str) -> None:
        super().__init__(
            f"registry `{path}` is being written by {holder}",
            hint="repeat the command when that one is done",
        )
        self.path = path
        self.holder = holder


class FolderNotEmptyError(StateError):
    """A folder with other things in it, which cannot become a registry."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"`{path}` cannot become a registry: it is not empty",
            hint="name an empty or a new folder: `skillpm registry init PATH`",
        )
        self.path = path


class NotSharedError(StateError):
    """A registry that is for its owner alone, and was to be one for a group."""

    def __init__(self, path: Path) -> None:
        quoted = shlex.quote(str(path))
        super().__init__(
            f"`{path}` is a registry already, and is not shared with a group",
            hint=f"`chmod -R g+rwX {quoted} && find {quoted} -type d -exec chmod g+s {{}} +`",
        )
        self.path = path


class ReleaseExistsError(StateError):
    """A release that stands already, with other contents: releases are immutable."""

    def __init__(self, skill: SkillName, version: Version, *, existing: str, offered: str) -> None:
        super().__init__(
            f"`{skill}` {version} is already published as `{existing}`, and cannot become "
            f"`{offered}`: releases are immutable",
            hint="pack it again under a higher version: `skillpm pack … --version NEXT`",
        )
        self.existing = existing
        self.offered = offered


class UnknownReleaseError(UnknownSkillError):
    """A release that this registry does not have."""

    def __init__(self, path: Path, skill: SkillName, version: Version) -> None:
        super().__init__(
            f"`{skill}` {version} is not in registry `{path}`",
            hint=f"`skillpm show {skill}` lists the versions that are",
        )
        self.skill = skill
        self.version = version


class BlobNotFoundError(NotFoundError):
    """A blob that this registry never had."""

    def __init__(self, path: Path, digest: Digest) -> None:
        super().__init__(f"blob `{digest}` is not in registry `{path}`")
        self.digest = digest


class BlobMissingError(IntegrityError):
    """A blob that the catalogue lists, and whose file is gone."""

    def __init__(self, path: Path, digest: Digest) -> None:
        super().__init__(
            f"blob `{digest}` of a published release is missing from registry `{path}`",
            hint="publish the same pack once more: that puts missing blobs back",
        )
        self.digest = digest


class BlobKindError(IntegrityError):
    """A link, pipe, device or folder where a blob's file should be; it is not opened."""

    def __init__(self, path: Path, digest: Digest, *, found: str) -> None:
        super().__init__(
            f"blob `{digest}` of registry `{path}` should be a regular file, is {found}",
            hint="publish the same pack once more: that puts damaged blobs back",
        )
        self.digest = digest


class BlobSizeError(IntegrityError):
    """A blob that is longer or shorter than the pack says."""

    def __init__(self, digest: Digest, *, expected: int, found: str) -> None:
        super().__init__(f"blob `{digest}` should be {expected} bytes, but is {found}")
        self.digest = digest
        self.expected = expected


class SourceUnreadableError(StateError):
    """A blob that is to be published and cannot be read where it lies."""

    def __init__(self, digest: Digest, why: str) -> None:
        super().__init__(f"blob `{digest}` of the pack cannot be read: {why}")
        self.digest = digest


class UnknownAdvisoryError(NotFoundError):
    """An advisory that this registry does not have."""

    def __init__(self, path: Path, identifier: str) -> None:
        super().__init__(
            f"there is no advisory `{identifier}` in registry `{path}`",
            hint="`skillpm registry advisory list` lists those that are",
        )
        self.identifier = identifier


class AdvisoryOutdatedError(StateError):
    """A form of an advisory that is no newer than the one that stands."""

    def __init__(self, advisory: Advisory, *, standing: str) -> None:
        super().__init__(
            f"advisory `{advisory.id}` stands as modified at {standing}, and cannot become its "
            f"form of {advisory.modified}",
            hint="a changed advisory has a later `modified`",
        )
        self.standing = standing


class UnknownAffectedError(UnknownSkillError):
    """An advisory about skills that this registry does not have, or about none."""

    def __init__(self, path: Path, advisory: Advisory, skills: Sequence[SkillName]) -> None:
        about = f"`{skills[0]}`, which is not in registry `{path}`" if skills else "no skill at all"
        super().__init__(
            f"advisory `{advisory.id}` is about {about}",
            hint="`skillpm search` lists the skills; an entry's `package` is "
            '{"ecosystem": "skillpm", "name": "acme/math"}',
        )
