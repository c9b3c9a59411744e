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


def test_a_pack_is_remembered_on_the_base_that_it_was_verified_on(packs: VerifiedPacks) -> None:
    assert packs.holds(PACK, BASE)
    assert packs.bases(PACK) == [BASE]
    assert not packs.holds(PACK, OTHER)
    assert not packs.holds(OTHER, BASE)
    assert packs.bases(OTHER) == []


def test_a_record_of_another_pack_under_this_name_is_ignored(packs: VerifiedPacks) -> None:
    name = _record(packs).name.replace(PACK.hex, OTHER.hex)
    (packs.home / "verified" / name).write_bytes(_record(packs).read_bytes())
    assert not packs.holds(OTHER, BASE)
    assert packs.bases(OTHER) == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"pack":1}', b'{"rules":1}', b"\xff", b"1"])
def test_a_damaged_record_is_none(data: bytes, packs: VerifiedPacks) -> None:
    _record(packs).write_bytes(data)
    assert not packs.holds(PACK, BASE)
    assert packs.bases(PACK) == []


def test_checks_that_were_added_verify_again(
    packs: VerifiedPacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified_packs, "RULES", verified_packs.RULES + 1)
    assert not packs.holds(PACK, BASE)


@pytest.mark.parametrize("rules", [True, "1", 1.0, None])
def test_a_record_names_its_checks_by_number(rules: object, packs: VerifiedPacks) -> None:
    plain = {"pack": str(PACK), "base": str(BASE), "rules": rules}
    _record(packs).write_bytes(json.canonical(plain))
    assert not packs.holds(PACK, BASE)


def test_records_that_others_could_have_written_are_not_believed(packs: VerifiedPacks) -> None:
    folder = packs.home / "verified"
    folder.chmod(0o777)
    exposed = VerifiedPacks(packs.home)
    assert not exposed.holds(PACK, BASE)
    assert exposed.bases(PACK) == []
    folder.chmod(0o755)
    assert VerifiedPacks(packs.home).holds(PACK, BASE)


def test_a_home_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in its place")
    packs = VerifiedPacks(tmp_path / "home")
    packs.remember(PACK, BASE)
    assert not packs.holds(PACK, BASE)
    assert packs.bases(PACK) == []


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_an_entry_that_is_not_a_file_counts_as_no_record(
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
