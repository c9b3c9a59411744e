"""Untrusted bundles: whatever is wrong with one, nothing changes."""

import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair

from skillpm.archive.bundle import BundleFile, open_bundle
from skillpm.archive.writer import write_bundle
from skillpm.spec.bundle import BundleDocuments
from skillpm.spec.digests import Digest


@dataclass(frozen=True)
class Forged:
    """The contents of a bundle; all digests are recomputed."""

    documents: BundleDocuments
    images: Mapping[str, bytes]
    blobs: Mapping[Digest, bytes]

    def lock(self, old: str, new: str) -> "Forged":
        """The bundle with another text in the lock."""
        assert old.encode() in self.documents.lock, old
        lock = self.documents.lock.replace(old.encode(), new.encode())
        return replace(self, documents=replace(self.documents, lock=lock))

    def project(self, old: str, new: str) -> "Forged":
        """The bundle with another text in the project file."""
        assert old.encode() in self.documents.project, old
        text = self.documents.project.replace(old.encode(), new.encode())
        return replace(self, documents=replace(self.documents, project=text))

    def write(self, path: Path) -> Path:
        blobs = {**self.blobs, **self.documents.blobs}
        write_bundle(path, self.documents.image(), self.images, blobs)
        return path


@pytest.fixture
def team(world: World, math: Pair, models: Models) -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(models.tuned("attn", seed=2), "acme/sql", "1.0.0", "--requires", "acme/math ^1")
    world.ask("install", "acme/sql")
    world.ask("bundle", world.folder / "honest.skillbundle")
    world.ask("uninstall", "acme/sql")
    return world


@pytest.fixture
def honest(team: World) -> Forged:
    path = team.folder / "honest.skillbundle"
    return taken_apart(open_bundle(path))


def taken_apart(bundle: BundleFile) -> Forged:
    packs = bundle.packs.values()
    return Forged(
        BundleDocuments(
            bundle.base.canonical(), bundle.lock.dumps().encode(), bundle.project_text.encode()
        ),
        {f"{p.manifest.skill}:{p.manifest.version}": p.image_bytes for p in packs},
        {digest: p.read(digest) for p in packs for digest in p.image.blobs},
    )


def test_bundle_documents_round_trip(team: World, honest: Forged) -> None:
    made = honest.write(team.folder / "made.skillbundle")
    assert made.read_bytes() == (team.folder / "honest.skillbundle").read_bytes()


def without_a_pack(forged: Forged) -> Forged:
    images = {ref: data for ref, data in forged.images.items() if "sql" not in ref}
    return replace(forged, images=images)


def without_a_blob(forged: Forged) -> Forged:
    gone = max(forged.blobs, key=lambda digest: len(forged.blobs[digest]))
    return replace(forged, blobs={d: b for d, b in forged.blobs.items() if d != gone})


def with_a_stray(forged: Forged) -> Forged:
    return replace(forged, blobs={**forged.blobs, Digest.of(b"stray"): b"stray"})


def with_an_unlocked_pack(forged: Forged) -> Forged:
    text = forged.documents.lock.decode()
    stanzas = text.split("[[skill]]")
    kept = "[[skill]]".join(stanzas[:2]).encode()
    return replace(forged, documents=replace(forged.documents, lock=kept))


def of_another_base(forged: Forged) -> Forged:
    base = re.sub(rb"sha256:[0-9a-f]{64}", b"sha256:" + b"0" * 64, forged.documents.base)
    return replace(forged, documents=replace(forged.documents, base=base))


def with_latin_text(forged: Forged) -> Forged:
    return replace(forged, documents=replace(forged.documents, lock=b"# \xe9"))


def sizes(forged: Forged) -> Forged:
    line = next(one for one in forged.documents.lock.decode().splitlines() if "size" in one)
    return forged.lock(line, "size = 1")


CASES: dict[str, tuple[Callable[[Forged], Forged], int, str]] = {
    "a pack is missing": (without_a_pack, 3, "lacks the pack"),
    "a blob is missing": (without_a_blob, 3, "is missing"),
    "a blob belongs to nothing": (with_a_stray, 1, "no document references"),
    "a pack is not locked": (with_an_unlocked_pack, 1, "not in its lock"),
    "it is of two bases": (of_another_base, 1, "contradicts itself"),
    "its lock is not UTF-8": (with_latin_text, 1, "not UTF-8"),
    "its lock has another size": (sizes, 3, "but the bundle records 1"),
    "its lock has another version": (
        lambda f: f.lock('version = "1.0.0"', 'version = "1.5.0"'), 3, "1.5.0"),
    "its lock hides a requirement": (
        lambda f: f.lock('requires = ["acme/math ^1"]', "requires = []"), 4, "nothing asks for"),
    "its lock invents a requirement": (
        lambda f: f.lock('requires = ["acme/math ^1"]', 'requires = ["acme/math *"]'), 3,
        "requires other skills"),
    "its project file asks for another set": (
        lambda f: f.project('"acme/sql" = "^1.0.0"', '"acme/sql" = "^2"'), 4, "asks for"),
    "its project file is no TOML": (lambda f: f.project("[skills]", "[skills"), 1, "TOML"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_install_refuses_a_forged_bundle_and_changes_nothing(
    team: World, honest: Forged, name: str
) -> None:
    forge, code, said = CASES[name]
    path = forge(honest).write(team.folder / "forged.skillbundle")
    before = snapshot(team.folder)
    outcome = team.run("install", "--from", path, "--json")
    assert (outcome.code, said in outcome.error["message"]) == (code, True), outcome
    assert snapshot(team.folder) == before


def test_install_refuses_a_bundle_with_a_flipped_bit_or_cut_short(team: World) -> None:
    whole = (team.folder / "honest.skillbundle").read_bytes()
    path = team.folder / "damaged.skillbundle"
    before = {k: v for k, v in snapshot(team.folder).items() if "damaged" not in k}
    for place in range(0, len(whole), len(whole) // 60):
        if not whole[place]:
            continue
        data = bytearray(whole)
        data[place] ^= 0x10
        path.write_bytes(data)
        assert team.run("install", "--from", path).code in (1, 3), place
    for size in (0, 100, 600, len(whole) // 2, len(whole) - 1025):
        path.write_bytes(whole[:size])
        assert team.run("install", "--from", path).code in (1, 3), size
    assert {k: v for k, v in snapshot(team.folder).items() if "damaged" not in k} == before


def test_install_refuses_a_bundle_with_unknown_entries(team: World) -> None:
    path = team.folder / "honest.skillbundle"
    for name in ("../../etc/passwd", "skillpm.toml", "blobs/sha256/../x"):
        made = team.folder / "extra.skillbundle"
        made.write_bytes(path.read_bytes())
        with tarfile.open(made, "a") as tar:
            tar.addfile(tarfile.TarInfo(name))
        assert "not allowed in a bundle" in team.fail(
            "install", "--from", made, code=1, kind="spec"
        )


def test_graft_detects_a_wrong_root_in_the_lock_of_a_bundle(team: World, honest: Forged) -> None:
    root = "sha256:" + "1" * 64
    false = honest.lock("[graft]\n", f'[graft]\nroot = "{root}"\n')
    path = false.write(team.folder / "promise.skillbundle")
    team.ask("install", "--from", path)
    assert root in team.lock
    assert "root" in team.fail("graft", code=3, kind="integrity")
