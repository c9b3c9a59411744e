"""Project file, lock and environment: which of them is newer, and what each command reports."""

import os
import stat
import subprocess
import sys
import time

import pytest
from skillpm_world import World, run_process, snapshot, start_process
from tiny_models import Models

from skillpm.files.folder import Folder
from skillpm.journal.lock import hold_lock


@pytest.fixture
def published(world: World, models: Models) -> World:
    """A project, and two releases of one skill that is not installed."""
    first, second = models.tuned("mlp"), models.tuned("mlp", seed=3)
    world.init(first[0])
    world.publish(first, "acme/math", "1.0.0")
    world.publish(second, "acme/math", "1.1.0")
    return world


def test_install_again_changes_nothing_and_adds_no_generation(published: World) -> None:
    published.ask("install", "acme/math")
    before = snapshot(published.project)
    for arguments in (("acme/math",), (), ("acme/math", "--frozen"), ("acme/math@^1.1.0",)):
        done = published.ask("install", *arguments)
        assert (done["generation"], done["added"], done["kept"]) == (1, [], 1)
    assert published.ask("lock")["changed"] is False
    assert snapshot(published.project) == before


def test_dry_run_changes_nothing(published: World) -> None:
    before = snapshot(published.project)
    done = published.ask("install", "acme/math", "--dry-run")
    assert (done["generation"], done["dry_run"], len(done["added"])) == (1, True, 1)
    assert snapshot(published.project) == before
    published.ask("install", "acme/math@=1.0.0")
    published.graft_root()
    before = snapshot(published.project)
    for arguments in (("uninstall", "acme/math"), ("rollback",), ("install", "acme/math@^1.1")):
        assert published.ask(*arguments, "--dry-run")["generation"] == 2
    assert published.ask("upgrade", "--dry-run")["generation"] == 1
    assert snapshot(published.project) == before


def test_install_locks_a_changed_project_file_again_with_a_note(
    published: World,
) -> None:
    published.ask("install", "acme/math@=1.0.0")
    text = published.file.read_text().replace('"=1.0.0"', '"^1.1"  # newer')
    published.file.write_text(text)
    notes = published.ask("list")["notes"]
    assert any("skillpm.toml" in note for note in notes)
    checked = published.ask("lock", "--check", code=1)
    assert (checked["fresh"], "acme/math" in checked["reason"]) == (False, True)
    assert "skillpm lock" in published.fail("install", "--frozen", code=1, kind="state")

    done = published.ask("install")

    assert "re-locked" in done["notes"][0]
    assert published.installed() == {"acme/math": "1.1.0"}
    assert published.file.read_text() == text


def test_list_reports_a_lock_that_is_ahead_of_the_environment(published: World) -> None:
    published.file.write_text(published.file.read_text() + '"acme/math" = "1.0.0"\n')
    assert published.ask("lock")["changed"]
    assert "acme/math" in published.lock
    listing = published.ask("list")
    assert listing["skills"] == []
    assert any("differs from what is installed" in note for note in listing["notes"])
    assert published.ask("install", "--frozen")["generation"] == 1
    assert published.ask("list")["notes"] == []


def test_install_writes_a_missing_lock_again(published: World) -> None:
    published.ask("install", "acme/math")
    lock = published.lock
    (published.project / "skillpm.lock").unlink()
    assert any("missing" in note for note in published.ask("list")["notes"])
    published.fail("install", "--frozen", code=1, kind="state")
    assert published.ask("install")["generation"] == 1
    assert published.lock == lock


def test_damaged_lock_is_an_error_that_names_the_place(published: World) -> None:
    published.ask("install", "acme/math")
    path = published.project / "skillpm.lock"
    path.write_text(published.lock.replace("sha256:", "sha255:"))
    assert "digest" in published.fail("install", code=1, kind="spec")
    assert published.ask("list")["generation"] == 1


def test_install_and_uninstall_keep_comments_of_the_project_file(published: World) -> None:
    text = published.file.read_text().replace("[skills]", "# our skills\n[skills]  # here")
    published.file.write_text(f"# ours\n{text}\n[graft] # how\nmode = 'merge'\n")
    published.ask("install", "acme/math")
    published.ask("uninstall", "acme/math")
    for comment in ("# ours\n", "# our skills\n", "[skills]  # here", "[graft] # how"):
        assert comment in published.file.read_text()


@pytest.mark.parametrize("damage", [b"[project", b"\xff\xfe", b"[project]\nbase = 1\n", None])
def test_unreadable_project_file_is_a_clear_error(published: World, damage: bytes | None) -> None:
    published.ask("install", "acme/math")
    published.file.unlink()
    if damage is None:
        published.file.mkdir()
    else:
        published.file.write_bytes(damage)
    before = snapshot(published.project)
    for command in ("install", "uninstall acme/math", "rollback", "graft", "lock"):
        outcome = published.run(*command.split(), "--json")
        assert outcome.code == 1, outcome
        assert outcome.error["kind"] in {"spec", "state"}
        assert "skillpm.toml" in outcome.error["message"]
    assert published.ask("list")["skills"]
    assert snapshot(published.project) == before


def test_concurrent_installs_wait_for_each_other(published: World) -> None:
    asked = (("install", "acme/math@=1.0.0"), ("install", "acme/math@=1.1.0"))
    processes = [start_process(*one, "--json") for one in asked]
    ended = [(one.communicate(timeout=60), one.returncode) for one in processes]
    assert [code for _, code in ended] == [0, 0], ended
    assert [one["number"] for one in published.ask("history")["generations"]] == [0, 1, 2]


def test_lock_timeout_names_the_holder_and_ignores_a_dead_one(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKILLPM_LOCK_TIMEOUT", "1")
    state = published.project / ".skillpm"
    with hold_lock(Folder.open(state), "graft", timeout=1, say=print):
        outcome = run_process("install", "acme/math", "--json")
    assert (outcome.code, outcome.error["kind"]) == (1, "state")
    assert f"`skillpm graft` (process {os.getpid()}, for " in outcome.error["message"]
    (state / "holder.json").write_text('{"pid": 999999, "command": "install"}')
    started = time.monotonic()
    assert published.ask("install", "acme/math")["generation"] == 1
    assert time.monotonic() - started < 20


_FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from skillpm.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        ("install", 200),
        ("pack", 20_000),
        ("graft", 20_000),
        ("publish", 200),
        pytest.param("install", 20_000, marks=pytest.mark.slow),
        pytest.param("pack", 200, marks=pytest.mark.slow),
        pytest.param("graft", 200, marks=pytest.mark.slow),
        pytest.param("publish", 20_000, marks=pytest.mark.slow),
    ],
)
def test_full_disk_is_a_clear_error_and_changes_nothing(
    published: World, models: Models, command: str, limit: int
) -> None:
    pair = models.tuned("mlp", seed=4)
    path = published.pack(pair, "acme/sql", "1.0.0")
    published.ask("install", "acme/math")
    arguments = {
        "install": ["install", str(path)],
        "pack": ["pack", *map(str, pair), "--name", "a/b", "--version", "1.0.0"],
        "graft": ["graft"],
        "publish": ["publish", str(path)],
    }[command]
    before = snapshot(published.project)
    ran = subprocess.run(
        [sys.executable, "-c", _FULL, str(limit), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode in (1, 5), ran
    assert ran.stderr.startswith("error: "), ran.stderr
    assert "a bug in skillpm" not in ran.stderr
    after = {name: text for name, text in snapshot(published.project).items() if name in before}
    assert after == before
    assert [one["skill"] for one in published.ask("search")["results"]] == ["acme/math"]
    assert published.run(*arguments).code == 0


def test_missing_or_damaged_registry_is_a_registry_error(published: World) -> None:
    database = published.home / "registry" / "registry.db"
    for name in ("registry.db-wal", "registry.db-shm"):
        (database.parent / name).unlink(missing_ok=True)
    database.write_bytes(b"not a database" * 99)
    before = snapshot(published.project)
    published.fail("install", "acme/math", code=5, kind="registry")
    published.fail("search", "math", code=5, kind="registry")
    database.unlink()
    published.fail("install", "acme/math", code=5, kind="registry")
    assert snapshot(published.project) == before
    assert published.ask("list")["generation"] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_project_without_write_permission_is_a_clear_error(published: World) -> None:
    published.project.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        published.fail("install", "acme/math", code=1, kind="state")
    finally:
        published.project.chmod(stat.S_IRWXU)
