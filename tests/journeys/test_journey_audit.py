"""Every finding of `audit`, each caused on purpose."""

import json
import shutil
from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair, copy_model, rewrite


@pytest.fixture
def audited(world: World, math: Pair) -> World:
    """A project whose skill has all data that `audit` checks, except a signature."""
    base = copy_model(math[0], world.folder / "base")
    world.init(base)
    more = ("--license", "MIT", "--method", "sft", "--data", "sums")
    world.publish((base, math[1]), "acme/math", "1.0.0", *more)
    world.ask("install", "acme/math")
    return world


def _codes(world: World, *, code: int) -> list[tuple[str, str]]:
    before = snapshot(world.project)
    found = world.ask("audit", code=code)["findings"]
    assert snapshot(world.project) == before, "audit writes nothing"
    return [(one["level"], one["code"]) for one in found if one["code"] != "unsigned"]


def test_audit_of_a_consistent_project_reports_only_a_missing_signature(audited: World) -> None:
    assert _codes(audited, code=0) == []
    assert audited.ask("audit", "--fail-on", "low", code=3)["checked"] == 4
    assert audited.run("audit", "--format", "json").json["findings"]


def test_audit_reports_a_pack_without_licence_and_provenance(world: World, math: Pair) -> None:
    world.init(math[0])
    world.ask("install", world.pack(math, "acme/math", "1.0.0"))
    assert _codes(world, code=0) == [("low", "no-license"), ("low", "no-provenance")]


def test_audit_reports_a_lock_that_does_not_satisfy_the_project_file(audited: World) -> None:
    text = audited.file.read_text().replace("^1.0.0", "^2")
    audited.file.write_text(text)
    assert _codes(audited, code=0) == [("medium", "lock-drift")]


def test_audit_reports_a_changed_or_missing_base(audited: World) -> None:
    base = audited.folder / "base"
    rewrite(base, lambda tensors: tensors["lm_head.weight"].add_(1))
    assert _codes(audited, code=3) == [("critical", "base-mismatch")]
    shutil.rmtree(base)
    assert _codes(audited, code=0) == [("medium", "base-missing")]


def _largest_blob(world: World) -> Path:
    blobs = [path for path in (world.home / "store").rglob("*") if path.is_file()]
    return max(blobs, key=lambda path: path.stat().st_size)


def test_audit_reports_a_damaged_or_missing_blob(audited: World) -> None:
    blob = _largest_blob(audited)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    assert _codes(audited, code=3) == [("critical", "blob-damaged")]
    blob.unlink()
    assert _codes(audited, code=3) == [("high", "blob-missing")]
    assert audited.ask("install")["kept"] == 1
    assert _codes(audited, code=0) == []


def test_audit_names_every_damaged_blob(audited: World) -> None:
    blobs = [path for path in (audited.home / "store").rglob("*") if len(path.name) == 64]
    for blob in blobs:
        blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    findings = audited.ask("audit", code=3)["findings"]
    damaged = [one["message"] for one in findings if one["code"] == "blob-damaged"]
    assert len(damaged) == len(blobs) > 2
    assert all(any(blob.name in message for message in damaged) for blob in blobs)
    assert any("cache verify --repair" in message for message in damaged)


def test_audit_reports_a_generation_with_blobs_of_another_release(
    audited: World, math: Pair
) -> None:
    path = audited.project / ".skillpm" / "generations" / "1.json"
    plain = json.loads(path.read_text())
    plain["lock"] = plain["lock"].replace('version = "1.0.0"', 'version = "1.0.1"')
    path.write_text(json.dumps(plain))
    codes = _codes(audited, code=3)
    assert ("critical", "wrong-pack") in codes
    assert ("medium", "unlisted") in codes


def test_audit_reports_a_changed_release_and_an_unreachable_registry(
    audited: World, models: Models, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    path = audited.pack(models.tuned("attn"), "acme/math", "1.0.0")
    audited.ask("publish", path, "--registry", other)
    found = audited.ask("audit", "--registry", other, code=3)["findings"]
    assert (found[0]["level"], found[0]["code"]) == ("critical", "release-changed")
    found = audited.ask("audit", "--registry", "nowhere")["findings"]
    assert "registry-unreachable" in {one["code"] for one in found}


def test_audit_reports_a_graft_with_another_root_than_the_lock(audited: World) -> None:
    audited.graft_root()
    lock = audited.project / "skillpm.lock"
    root = audited.ask("graft")["root"]
    lock.write_text(audited.lock.replace(f'root = "{root}"', f'root = "sha256:{"0" * 64}"'))
    assert _codes(audited, code=3) == [("critical", "graft-damaged")]
    audited.fail("graft", code=3, kind="integrity")
    assert (audited.project / "graft" / "config.json").exists()


def test_audit_unsigned_finding_states_that_signing_is_not_supported(audited: World) -> None:
    (finding,) = audited.ask("audit")["findings"]
    assert finding["code"] == "unsigned"
    assert "cannot sign packs" in finding["message"]
