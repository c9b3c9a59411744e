"""What a reviewer found: locks that lie, flags that promise, bases that are nearly right."""

import hashlib
import json
from pathlib import Path

import pytest
from skillpm_world import World, root_of, snapshot
from tiny_models import Models, Pair, copy_model, rewrite

from skillpm.spec.lockfile import parse_lockfile


@pytest.fixture
def sql(models: Models) -> Pair:
    return models.tuned("attn", seed=2)


@pytest.fixture
def installed(world: World, math: Pair, sql: Pair) -> World:
    """A project with one skill; another is published."""
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(sql, "acme/sql", "1.0.0")
    world.ask("install", "acme/math")
    return world


def _md5(world: World) -> str:
    data = (world.project / "skillpm.lock").read_bytes()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _swap_digests(world: World, path: Path) -> None:
    """Put the digest of acme/sql where that of acme/math stands."""
    ours = world.ask("show", "acme/math")["releases"][0]["digest"]
    theirs = world.ask("show", "acme/sql")["releases"][0]["digest"]
    path.write_text(path.read_text().replace(ours, theirs))


def test_a_stanza_with_another_skills_digest_is_not_installed(installed: World) -> None:
    installed.ask("uninstall", "acme/math")
    installed.ask("rollback")
    _swap_digests(installed, installed.project / "skillpm.lock")
    before = snapshot(installed.project)
    for more in ((), ("--frozen",), ("--dry-run",)):
        text = installed.fail("install", *more, code=3, kind="integrity")
        assert "acme/sql 1.0.0" in text
    assert snapshot(installed.project) == before


def test_a_generation_with_another_skills_digest_is_neither_grafted_nor_rolled_back_to(
    installed: World,
) -> None:
    installed.ask("install", "acme/sql")
    installed.ask("uninstall", "acme/sql")
    generations = installed.project / ".skillpm" / "generations"
    for number in (1, 3):
        _swap_digests(installed, generations / f"{number}.json")
    installed.fail("graft", code=3, kind="integrity")
    installed.fail("rollback", 1, code=3, kind="integrity")
    assert installed.ask("history")["current"] == 3


def test_a_lower_skill_of_another_digest_is_refused_before_anything_changes(
    world: World, models: Models, math: Pair, sql: Pair, tmp_path: Path
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    tuned = copy_model(math[1], tmp_path / "over")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    upper = world.pack((math[0], tuned), "acme/up", "1.0.0", "--over", "acme/math@1.0.0")
    other = tmp_path / "other"
    lower = tmp_path / "other-math.skillpack"
    world.ask("pack", *sql, "--name", "acme/math", "--version", "1.0.0", "-o", lower)
    for path in (lower, upper):
        world.ask("publish", path, "--registry", other)
    before = snapshot(world.project)
    text = world.fail("install", "acme/up", "--registry", other, code=4, kind="resolution")
    assert "is layered on `acme/math` 1.0.0" in text
    assert snapshot(world.project) == before


@pytest.mark.parametrize("edit", ["comment", "no root", "none"])
def test_frozen_never_writes_the_lock(installed: World, edit: str) -> None:
    installed.graft_root()
    path = installed.project / "skillpm.lock"
    if edit == "comment":
        path.write_text(installed.lock + "\n# ours\n")
    elif edit == "no root":
        lock = parse_lockfile(installed.lock)
        path.write_text(lock.with_root(None).dumps())
    before = _md5(installed)
    assert installed.ask("install", "--frozen")["generation"] == 1
    assert installed.ask("install", "acme/math", "--frozen")["kept"] == 1
    assert _md5(installed) == before
    installed.run("-C", installed.project, "history")
    (installed.project / ".skillpm").rename(installed.folder / "state")
    assert installed.ask("install", "--frozen")["generation"] == 1
    assert _md5(installed) == before


@pytest.mark.parametrize("wish", ['"acme/sql" = "*"', '"nobody/knows" = "^3"'])
@pytest.mark.parametrize("away", [False, True])
def test_frozen_says_why_the_lock_would_change(installed: World, wish: str, away: bool) -> None:  # noqa: FBT001 - a case
    installed.file.write_text(installed.file.read_text() + wish + "\n")
    if away:
        (installed.home / "registry").rename(installed.home / "gone")
    before = snapshot(installed.project)
    text = installed.fail("install", "--frozen", code=1, kind="state")
    assert wish.split('"')[1] in text
    assert "skillpm lock" in text
    assert snapshot(installed.project) == before


def test_frozen_with_a_skill_that_is_not_locked_changes_nothing(installed: World) -> None:
    before = snapshot(installed.project)
    assert "--frozen" in installed.fail("install", "acme/sql", "--frozen", code=1, kind="state")
    assert snapshot(installed.project) == before


def test_a_weight_of_zero_in_a_lock_is_refused_by_frozen_and_graft(installed: World) -> None:
    wish = '"acme/math" = "^1.0.0"'
    zero = '"acme/math" = { version = "^1.0.0", weight = 0.0 }'
    installed.file.write_text(installed.file.read_text().replace(wish, zero))
    lock = installed.project / "skillpm.lock"
    lock.write_text(installed.lock.replace("weight = 1.0", "weight = 0.0"))
    installed.fail("install", "--frozen", code=4, kind="resolution")
    generation = installed.project / ".skillpm" / "generations" / "1.json"
    plain = json.loads(generation.read_text())
    plain["lock"] = plain["lock"].replace("weight = 1.0", "weight = 0.0")
    generation.write_text(json.dumps(plain))
    assert installed.run("graft", "--json").error["kind"] in {"graft", "resolution"}
    assert not (installed.project / "graft").exists()


def test_a_base_in_one_file_is_grafted_beside_itself(
    world: World, math: Pair, tmp_path: Path
) -> None:
    base = world.project / "model.safetensors"
    base.write_bytes((math[0] / "model.safetensors").read_bytes())
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    world.init(base)
    world.ask("install", world.pack((base, math[1]), "acme/math", "1.0.0"))
    done = world.ask("graft")
    assert done["root"] == root_of(math[1]) == root_of(world.project / "graft")
    assert Path(done["path"]) == world.project / "graft"
    assert hashlib.sha256(base.read_bytes()).hexdigest() == digest
    for place in (base, world.project):
        world.fail("graft", "-o", place, code=2, kind="usage")


def test_a_bare_version_after_over_means_that_one_also_where_it_was_yanked(
    world: World, models: Models, math: Pair, tmp_path: Path
) -> None:
    world.publish(math, "acme/math", "1.0.0")
    world.publish(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    world.ask("yank", "acme/math@1.0.0")
    tuned = copy_model(math[1], tmp_path / "over")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    pack = world.pack((math[0], tuned), "acme/up", "1.0.0", "--over", "acme/math@1.0.0")
    over = world.ask("inspect", pack)["manifest"]["over"]
    assert [(one["skill"], one["version"]) for one in over] == [("acme/math", "1.0.0")]
    named = ("--name", "acme/x", "--version", "1.0.0", "--over", "acme/math@1.2.0")
    world.fail("pack", math[0], tuned, *named, code=4, kind="not_found")


def test_packing_over_a_set_that_conflicts_is_refused(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, tuned = models.pair("head")
    other = copy_model(tuned, tmp_path / "other")
    rewrite(other, lambda tensors: tensors["classifier.weight"].add_(1))
    world.publish((base, tuned), "acme/one", "1.0.0")
    world.publish((base, other), "acme/two", "1.0.0")
    named = ("--name", "acme/up", "--version", "1.0.0", "--over", "acme/one", "--over", "acme/two")
    text = world.fail("pack", base, other, *named, code=4, kind="resolution")
    assert "classifier.weight" in text


@pytest.mark.parametrize("text", ["abc", "", "-1"])
def test_a_damaged_pointer_is_a_clean_error(installed: World, text: str) -> None:
    state = installed.project / ".skillpm"
    (state / "current").write_text(text)
    journal = {"kind": "switch", "number": 2, "files": []}
    for content in (None, json.dumps(journal), "{}", "[", '{"kind":"graft","ready":true}'):
        if content is not None:
            (state / "journal.json").write_text(content)
        for command in ("list", "history", "install", "rollback", "graft"):
            outcome = installed.run(command, "--json")
            assert outcome.code in (1, 3), (command, outcome)
            assert outcome.error["kind"] != "internal", (command, outcome)


@pytest.mark.parametrize("damage", ["twice", "conflict"])
def test_lock_repairs_a_lock_that_a_merge_damaged(installed: World, damage: str) -> None:
    path = installed.project / "skillpm.lock"
    good = installed.lock
    stanza = good[good.index("[[skill]]") :]
    if damage == "twice":
        path.write_text(f"{good}\n{stanza}")
    else:
        path.write_text(f"<<<<<<< ours\n{good}=======\n{good}>>>>>>> theirs\n")
    installed.fail("install", code=1, kind="spec")
    checked = installed.ask("lock", "--check", code=1)
    assert (checked["fresh"], bool(checked["reason"])) == (False, True)
    assert installed.ask("lock")["changed"]
    assert installed.lock == good
    assert installed.ask("install")["generation"] == 1


def test_a_missing_lock_is_written_with_the_versions_that_are_installed(
    installed: World, models: Models
) -> None:
    installed.publish(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    lock = installed.lock
    (installed.project / "skillpm.lock").unlink()
    done = installed.ask("install")
    assert "re-locked" in done["notes"][0]
    assert (done["generation"], done["kept"]) == (1, 1)
    assert installed.lock == lock
