"""Reads untrusted bundle files. Every blob, document and pack is verified."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

from skillpm.archive.layout import INDEX_FILE, read_index
from skillpm.archive.reader import PackFile, pack_of
from skillpm.archive.tar import Layout, open_archive, read_layout, read_small
from skillpm.checkpoint.files import OpenFile
from skillpm.errors import IntegrityError, SkillpmError, SpecError
from skillpm.spec.bundle import (
    BUNDLE_TYPE,
    LOCK_TYPE,
    PROJECT_TYPE,
    BundledBase,
    parse_bundle_image,
    parse_bundled_base,
)
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import Lockfile, parse_lockfile
from skillpm.spec.oci import Descriptor
from skillpm.spec.project import ProjectFile, parse_project

KIND = "bundle"
_INDEX_LIMIT = 1 << 26


@dataclass(frozen=True)
class BundleFile:
    """A verified bundle: all blobs are hashed, and its packs are those of its lock."""

    path: Path
    digest: Digest
    base: BundledBase
    lock: Lockfile
    project: ProjectFile
    project_text: str
    packs: dict[Digest, PackFile]


def open_bundle(path: Path) -> BundleFile:
    """Read and verify a bundle: structure, every digest, every document, every pack.

    Costs one read and SHA-256 of the file. Raises `SpecError` or `IntegrityError`.
    """
    layout = read_layout(open_archive(path), KIND)
    kinds = {digest: plain.get("artifactType") for digest, (_, plain) in layout.documents.items()}
    main = [entry for entry in layout.entries if kinds[entry.digest] == BUNDLE_TYPE]
    if len(main) != 1 or len(layout.documents) != len(layout.entries):
        raise SpecError(
            f"`{path}` is not a bundle: expected one environment, found {len(main)}",
            hint="to install a pack, run `skillpm install FILE.skillpack`",
        )
    image = parse_bundle_image(layout.documents[main[0].digest][0])
    parts = (image.config, image.part(LOCK_TYPE), image.part(PROJECT_TYPE))
    base, lock, project = (_read(layout, part) for part in parts)
    bundle = BundleFile(
        path,
        main[0].digest,
        parse_bundled_base(base),
        parse_lockfile(_text(lock, "lock"), "the bundle's lock"),
        parse_project(_text(project, "project file"), "the bundle's project file"),
        _text(project, "project file"),
        {entry.digest: pack_of(layout, entry) for entry in layout.entries if entry != main[0]},
    )
    _check_consistent(bundle)
    _check_strays(layout, bundle, {part.digest for part in parts})
    return bundle


def is_bundle(path: Path) -> bool:
    """Whether the `index.json` of a file declares a bundle. Nothing else is checked."""
    try:
        OpenFile(path)  # refuses anything but a regular file; reading a pipe would block
        with tarfile.open(path, mode="r:") as tar:
            member = tar.extractfile(INDEX_FILE)
            entries = read_index(member.read(_INDEX_LIMIT)).manifests if member else []
    except (OSError, KeyError, tarfile.TarError, SkillpmError):
        return False
    return any(entry.artifact_type == BUNDLE_TYPE for entry in entries)


def _read(layout: Layout, part: Descriptor) -> bytes:
    blob = layout.blobs.get(part.digest)
    if blob is None or blob.size != part.size:
        raise IntegrityError(
            f"`{layout.file.path}`: blob `{part.digest}` of {part.size} bytes is missing"
        )
    return read_small(blob)


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        raise SpecError(f"the bundle's {what} is not UTF-8") from problem


def _check_consistent(bundle: BundleFile) -> None:
    """Raise an error unless lock, base, project file and packs describe the same environment."""
    locked = {skill.digest: skill for skill in bundle.lock.skill}
    for digest, skill in locked.items():
        if digest not in bundle.packs:
            raise IntegrityError(f"`{bundle.path}` lacks the pack of `{skill.ref}`, `{digest}`")
    extra = bundle.packs.keys() - locked.keys()
    if extra:
        raise SpecError(f"`{bundle.path}` contains pack {min(extra)}, which is not in its lock")
    if bundle.lock.base.root != bundle.base.root or bundle.project.root != bundle.base.root:
        raise SpecError(
            f"`{bundle.path}` contradicts itself: its base is `{bundle.base.root}`, that of its "
            f"lock `{bundle.lock.base.root}`, that of its project file `{bundle.project.root}`"
        )


def _check_strays(layout: Layout, bundle: BundleFile, known: set[Digest]) -> None:
    needed = {bundle.digest, *known, *bundle.packs}
    for pack in bundle.packs.values():
        needed |= pack.image.blobs.keys()
    strays = sorted(layout.blobs.keys() - needed)
    if strays:
        raise SpecError(f"`{bundle.path}`: no document references the blob {strays[0]}")
