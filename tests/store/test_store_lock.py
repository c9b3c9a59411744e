import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skillpm.errors import StateError
from skillpm.files import locking
from skillpm.spec.digests import Digest
from skillpm.store import lock as store_lock
from skillpm.store.blobs import Store

DATA = b"weights"
DIGEST = Digest.of(DATA)
USER = """
import sys
from pathlib import Path
from skillpm.spec.digests import Digest
from skillpm.store.blobs import Store
store = Store(Path(sys.argv[2]))
store.open(Digest(sys.argv[3]))
print("open", flush=True)
sys.stdin.read()
"""


class Shelf:
    def open_blob(self, digest: Digest) -> io.BytesIO:
        assert digest == DIGEST
        return io.BytesIO(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def user(store: Store, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has opened a blob and does not end by itself."""
    store.fetch(DIGEST, len(DATA), Shelf())
    script = tmp_path / "skillpm"
    script.write_text(USER)
    with subprocess.Popen(
        [sys.executable, str(script), "graft", str(tmp_path / "store"), str(DIGEST)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_alone_fails_while_another_process_uses_the_store(
    store: Store, user: "subprocess.Popen[str]"
) -> None:
    with pytest.raises(StateError, match="in use by"), store.alone():
        raise AssertionError


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell holders")
def test_alone_names_the_process_that_uses_the_store(
    store: Store, user: "subprocess.Popen[str]"
) -> None:
    said: list[str] = []
    waiting = Store(store.folder, said.append, wait=0.2)
    with pytest.raises(StateError, match="in use by") as problem, waiting.alone():
        raise AssertionError
    for text in (problem.value.message, *said):
        assert f"`skillpm graft {store.folder} {DIGEST}` (process {user.pid})" in text
    assert len(said) == 1


def test_alone_waits_for_an_exiting_process_without_a_visible_lock(
    store: Store, user: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_lock, "_LOCKS", store.folder / "nothing")
    threading.Timer(0.2, user.kill).start()
    with store.alone():
        assert user.wait() == -signal.SIGKILL


def test_alone_fails_if_the_other_process_does_not_exit(
    store: Store, user: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_lock, "_LOCKS", store.folder / "nothing")
    monkeypatch.setattr(locking, "GRACE", 0.1)
    with pytest.raises(StateError, match="another skillpm command"), store.alone():
        raise AssertionError
    assert store.read(DIGEST) == DATA
    user.kill()
    user.wait()
    with pytest.raises(StateError, match="in use by"), Store(store.folder).alone():
        raise AssertionError


def test_alone_succeeds_after_the_other_process_was_killed(
    store: Store, user: "subprocess.Popen[str]"
) -> None:
    os.kill(user.pid, signal.SIGKILL)
    user.wait()
    with store.alone():
        store.path_of(DIGEST).unlink()


def test_open_fails_while_another_store_object_holds_it_alone(store: Store) -> None:
    store.fetch(DIGEST, len(DATA), Shelf())
    other = Store(store.folder)
    with store.alone(), pytest.raises(StateError, match="in use by"):
        other.open(DIGEST)
    assert other.read(DIGEST) == DATA


def test_has_does_not_create_a_missing_store(tmp_path: Path) -> None:
    assert not Store(tmp_path / "store").has(DIGEST, 1)
    assert not (tmp_path / "store").exists()


def test_taken_counts_a_fetched_blob_once(store: Store) -> None:
    for _ in range(2):
        store.fetch(DIGEST, len(DATA), Shelf())
    assert store.taken == {DIGEST: len(DATA)}
