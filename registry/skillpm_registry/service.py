"""The embedded registry: publish, list, search and yank releases; serve their blobs."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.advisory import Advisory
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import Descriptor, parse_image
from skillpm.spec.pack import check_pack
from skillpm.spec.release import Release
from skillpm.spec.versions import Version
from skillpm_registry.blobs import Blobs, OpenBlob, verified
from skillpm_registry.catalog.advisories import Advisories
from skillpm_registry.catalog.queries import Catalog
from skillpm_registry.catalog.rows import PackRow
from skillpm_registry.db.create import create_database
from skillpm_registry.db.disk import locked
from skillpm_registry.db.schema import open_database
from skillpm_registry.errors import (
    AdvisoryOutdatedError,
    BlobMissingError,
    BlobNotFoundError,
    RegistryBusyError,
    ReleaseExistsError,
    UnknownAdvisoryError,
    UnknownAffectedError,
    UnknownReleaseError,
)

PATIENCE = 600.0  # A large pack takes minutes to publish; another one waits for it.


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What became of a publication; not `created` where the same digest was here already."""

    release: Release
    created: bool


class Registry:
    """A registry in a folder. Writers wait for each other; readers never wait."""

    def __init__(self, path: Path, catalog: Catalog, *, patience: float) -> None:
        self.path = path
        self._catalog = catalog
        self._advisories = Advisories(catalog.database)
        self._blobs = Blobs(path)
        self._patience = patience

    def releases(self, skills: Collection[SkillName]) -> dict[SkillName, tuple[Release, ...]]:
        """All releases of these skills, yanked ones too, by version; unknown skills are absent."""
        return self._catalog.releases(skills)

    def search(self, text: str) -> list[Release]:
        """The latest release of each skill whose name, summary or capabilities have all words."""
        return self._catalog.search(text)

    def skills(self) -> list[SkillName]:
        """The names of all skills, sorted."""
        return self._catalog.skills()

    def publish(self, image: bytes, open_blob: OpenBlob, *, now: datetime) -> PublishResult:
        """Take in the release whose OCI manifest is `image`, with every blob that it names.

        Blobs come first, each verified, then one transaction: killed anywhere, the registry is as
        it was, but for blobs that the next attempt finds and reuses. The same digest once more
        changes no release, and puts back blobs that were lost or damaged. Refuses other contents
        under a version that is taken (`ReleaseExistsError`), and bytes that are not what their
        digest says (`IntegrityError`).
        """
        pack = _read_pack(image, open_blob)
        skill, version = pack.manifest.skill, pack.manifest.version
        with locked(self.path, self._patience):
            known = self._catalog.find(skill, version)
            if known is not None and known.digest != pack.digest:
                raise ReleaseExistsError(
                    skill, version, existing=str(known.digest), offered=str(pack.digest)
                )
            self._blobs.add(
                pack.sizes,
                lambda digest: BytesIO(image) if digest == pack.digest else open_blob(digest),
            )
            if known is None:
                self._catalog.add(pack, now=now)
        return PublishResult(self._release(skill, version), created=known is None)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The bytes of a blob or an OCI manifest, for the caller to verify and close."""
        source = self._blobs.open(digest)
        if source is not None:
            return source
        if self._catalog.knows_blob(digest):
            raise BlobMissingError(self.path, digest)
        raise BlobNotFoundError(self.path, digest)

    def yank(self, skill: SkillName, version: Version, *, reason: str, now: datetime) -> Release:
        """Hide a release from new resolutions. Yanking it again only replaces the reason."""
        self._catalog.yank(skill, version, reason=reason, now=now)
        return self._release(skill, version)

    def unyank(self, skill: SkillName, version: Version) -> Release:
        """Show a release to new resolutions again, where it was hidden."""
        self._catalog.unyank(skill, version)
        return self._release(skill, version)

    def advisories(self) -> list[Advisory]:
        """Every advisory by its identifier, withdrawn ones too."""
        return self._advisories.all()

    def advise(self, advisory: Advisory, *, now: datetime) -> bool:
        """Publish an advisory; False where it stands so already.

        A newer form takes the place of an older one. Raises `AdvisoryOutdatedError` for another
        form that is not newer, `UnknownSkillError` where it is about no skill that is here.
        """
        with locked(self.path, self._patience):
            standing = self._advisories.find(advisory.id)
            if standing is not None and standing.canonical() == advisory.canonical():
                return False
            if standing is not None and standing.modified_at >= advisory.modified_at:
                raise AdvisoryOutdatedError(advisory, standing=standing.modified)
            about = {entry.name for entry in advisory.skills()}
            unknown = sorted(about - set(self.skills()))
            if unknown or not about:
                raise UnknownAffectedError(self.path, advisory, unknown)
            self._advisories.put(advisory, now=now)
        return True

    def withdraw(self, identifier: str, *, now: datetime) -> Advisory:
        """Withdraw an advisory: it stays listed, and affects nothing any more."""
        with locked(self.path, self._patience):
            standing = self._advisories.find(identifier)
            if standing is None:
                raise UnknownAdvisoryError(self.path, identifier)
            if standing.withdrawn is None:
                standing = standing.withdrawn_at(now)
                self._advisories.put(standing, now=now)
        return standing

    def close(self) -> None:
        """Promise that this object is used no more; nothing stays open between calls anyway."""

    def _release(self, skill: SkillName, version: Version) -> Release:
        found = self._catalog.find(skill, version)
        if found is None:
            raise UnknownReleaseError(self.path, skill, version)
        return found


def _read_pack(image: bytes, open_blob: OpenBlob) -> PackRow:
    parsed, digest = parse_image(image), Digest.of(image)
    manifest = parse_manifest(_document(parsed.config, open_blob))
    check_pack(parsed, manifest)
    return PackRow(digest, parsed, manifest, {digest: len(image), **parsed.blobs})


def _document(config: Descriptor, open_blob: OpenBlob) -> bytes:
    if config.size > json.SIZE_LIMIT:
        raise SpecError(f"the manifest is {config.size} bytes; at most {json.SIZE_LIMIT} are read")
    with open_blob(config.digest) as source:
        return b"".join(verified(source, config.digest, config.size))


def open_registry(
    path: Path, *, create: bool = False, shared: bool = False, patience: float = PATIENCE
) -> Registry:
    """The registry in the folder `path`; with `create`, an absent or empty folder becomes one.

    One that is made is for its owner alone, or with `shared` for the folder's group too.
    `patience` is how many seconds a writer waits for another. Raises `RegistryError` where there
    is none, where its catalogue is missing or damaged, or where a newer skillpm has written it.
    """
    if create:
        create_database(path, patience, shared=shared)
    return Registry(path, Catalog(open_database(path, patience)), patience=patience)


def tidy_registry(path: Path) -> None:
    """Remove what killed writers left aside in a registry; one that is being written is left."""
    with suppress(RegistryBusyError), locked(path, 0):
        Blobs(path).sweep()
