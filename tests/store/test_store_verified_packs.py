"""Records of verification in this home: reused here, and not trusted from others."""

import os
from pathlib import Path

import pytest

from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.store import verified_packs
from skillpm.store.verified_packs import VerifiedPacks

PACK, OTHER, BASE = Digest.of(b"pack"), Digest.of(b"other"), Digest.of(b"base")


@pytest.fixture
def packs(tmp_path: Path) -> VerifiedPacks:
    found = VerifiedPacks(tmp_path / "home")
    found.remember(PACK, BASE)
    return found


def _record(packs: VerifiedPacks) -> Path:
    (found,) = (packs.home / "verified").glob("*.json")
    return found


def test_verified_pack_is_recorded_with_its_base(packs: VerifiedPacks) -> None:
    assert packs.holds(PACK, BASE)
    assert packs.bases(PACK) == [BASE]
    assert not packs.holds(PACK, OTHER)
    assert not packs.holds(OTHER, BASE)
    assert packs.bases(OTHER) == []


def test_record_that_names_another_pack_is_ignored(packs: VerifiedPacks) -> None:
    name = _record(packs).name.replace(PACK.hex, OTHER.hex)
    (packs.home / "verified" / name).write_bytes(_record(packs).read_bytes())
    assert not packs.holds(OTHER, BASE)
    assert packs.bases(OTHER) == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"pack":1}', b'{"rules":1}', b"\xff", b"1"])
def test_damaged_record_is_ignored(data: bytes, packs: VerifiedPacks) -> None:
    _record(packs).write_bytes(data)
    assert not packs.holds(PACK, BASE)
    assert packs.bases(PACK) == []


def test_record_of_older_rules_is_ignored(
    packs: VerifiedPacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified_packs, "RULES", verified_packs.RULES + 1)
    assert not packs.holds(PACK, BASE)


@pytest.mark.parametrize("rules", [True, "1", 1.0, None])
def test_record_with_a_rules_value_that_is_no_integer_is_ignored(
    rules: object, packs: VerifiedPacks
) -> None:
    plain = {"pack": str(PACK), "base": str(BASE), "rules": rules}
    _record(packs).write_bytes(json.canonical(plain))
    assert not packs.holds(PACK, BASE)


def test_records_in_a_world_writable_folder_are_ignored(packs: VerifiedPacks) -> None:
    folder = packs.home / "verified"
    folder.chmod(0o777)
    exposed = VerifiedPacks(packs.home)
    assert not exposed.holds(PACK, BASE)
    assert exposed.bases(PACK) == []
    folder.chmod(0o755)
    assert VerifiedPacks(packs.home).holds(PACK, BASE)


def test_remember_ignores_an_unwritable_home(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in its place")
    packs = VerifiedPacks(tmp_path / "home")
    packs.remember(PACK, BASE)
    assert not packs.holds(PACK, BASE)
    assert packs.bases(PACK) == []


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_record_that_is_not_a_regular_file_is_ignored(
    packs: VerifiedPacks, planted: str, tmp_path: Path
) -> None:
    record = _record(packs)
    record.replace(tmp_path / "elsewhere.json")
    if planted == "link":
        record.symlink_to(tmp_path / "elsewhere.json")
    elif planted == "pipe":
        os.mkfifo(record)
    else:
        record.mkdir()
    assert not packs.holds(PACK, BASE)
    assert packs.bases(PACK) == []
