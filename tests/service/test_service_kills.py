"""`publish`, `login` and `logout` are killed at any point and repeated: nothing is lost or half."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_server import Api, Server
from skillpm_world import PACKAGES, REPOSITORY, Outcome, World
from small_packs import SmallPack, small_pack
from thoroughness import is_thorough

from skillpm.archive.writer import write_archive
from skillpm.spec.served import blob_path

DYING = REPOSITORY / "tests" / "crash" / "dying.py"
SAMPLED = 40 if is_thorough() else 6
KILLED = -9


@dataclass(frozen=True)
class Dying:
    """Runs commands in processes that kill themselves."""

    folder: Path

    def run(self, point: int, *command: object, stdin: str = "") -> Outcome:
        counter = self.folder / "counter"
        ended = subprocess.run(
            [sys.executable, DYING, str(point), counter, *map(str, command)],
            env={**os.environ, "PYTHONPATH": PACKAGES}, input=stdin, capture_output=True,
            text=True, timeout=300, check=False,
        )  # fmt: skip
        return Outcome(ended.returncode, ended.stdout, ended.stderr)

    def points(self, *command: object, stdin: str = "") -> range:
        """Points to kill a command at, after a run that counts them and must succeed."""
        outcome = self.run(-1, *command, stdin=stdin)
        assert outcome.code == 0, outcome
        count = int((self.folder / "counter").read_text())
        assert count > 20
        return range(1, count, max(1, count // SAMPLED))


@pytest.fixture
def dying(tmp_path: Path) -> Dying:
    return Dying(tmp_path)


@contextmanager
def another_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Path]:
    with monkeypatch.context() as changed:
        changed.setenv("SKILLPM_HOME", str(folder))
        yield folder


def test_a_killed_login_stores_the_whole_token_or_none(
    world: World, server: Server, admin: Api, dying: Dying, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, command = admin.token("read"), ("login", "--registry", server.url)
    killed = 0
    for point in dying.points(*command, stdin=token):
        with another_home(monkeypatch, world.folder / f"home-{point}") as home:
            killed += dying.run(point, *command, stdin=token).code == KILLED
            outcome = world.run("whoami", "--registry", server.url, "--json")
            assert outcome.code == 0 or outcome.error["kind"] == "auth"
            again = dying.run(0, *command, stdin=token)
            assert again.code == 0, again
            world.ask("whoami", "--registry", server.url)
            assert len(list((home / "credentials").iterdir())) == 1, "no file of the killed one"
    assert killed > SAMPLED // 2


@pytest.mark.slow
def test_a_logout_removes_what_a_killed_login_and_logout_left(
    world: World, server: Server, admin: Api, dying: Dying, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, registry = admin.token("read"), ("--registry", server.url)
    points = dying.points("login", *registry, stdin=token)
    for point in points:
        with another_home(monkeypatch, world.folder / f"home-{point}") as home:
            dying.run(point, "login", *registry, stdin=token)
            dying.run(point // 2, "logout", *registry)
            world.ask("logout", *registry)
            world.fail("whoami", *registry, code=1, kind="auth")
            left = [path for path in home.rglob("*") if path.is_file()]
            assert not [path for path in left if token.encode() in path.read_bytes()]


def test_a_publish_that_is_killed_anywhere_publishes_all_or_nothing(
    world: World, user: str, namespace: str, admin: Api, dying: Dying
) -> None:
    def written(number: int) -> tuple[Path, SmallPack]:
        pack = small_pack(f"{namespace}/s{number}", data=secrets.token_bytes(3 << 20))
        path = world.folder / f"{number}.skillpack"
        write_archive(path, pack.image, pack.version, pack.blobs)
        return path, pack

    killed = 0
    for point in dying.points("publish", written(0)[0]):
        path, pack = written(point)
        killed += dying.run(point, "publish", path).code == KILLED
        response = admin.http.get(f"/index/{pack.skill}.json")
        if response.status_code == 200:
            assert [row["version"] for row in response.json()["releases"]] == ["1.0.0"]
            _check_blobs(admin, pack)
        world.ask("publish", path)
        (row,) = admin.ask("GET", f"/index/{pack.skill}.json")["releases"]
        assert row["digest"] == str(pack.digest)
        _check_blobs(admin, pack)
    assert killed > SAMPLED // 2


def _check_blobs(api: Api, pack: SmallPack) -> None:
    """Every blob of a release that is listed is there, whole."""
    for digest, data in pack.blobs.items():
        assert api.http.get(f"/blobs{blob_path(digest)}").content == data
