"""Each way out of the sandbox is tried by a real process, as root and as a user, and is closed.

Layers are left out one at a time: the others hold, and the report names the missing layer.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from escape_attempts import HERE, SECRET, run_attempts

from skillpm.sandbox.report import Protection, SandboxLayer

ROOT = HERE.parents[1]
NOBODY = 65534
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="layers of Linux")
ONE_OUT = [layer for layer in SandboxLayer if layer is not SandboxLayer.SEATBELT]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{HERE}")
    monkeypatch.setenv("API_KEY", SECRET)


def _reader() -> str | None:
    """A Python of at least 3.11 that any user may start."""
    for program in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        asked = [program or "", "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(asked, user=NOBODY, group=NOBODY, check=False).returncode == 0:
                return program
        except OSError:
            continue
    return None


def run_as_user(without: list[SandboxLayer]) -> dict[str, Any]:
    """The attempts, in a process of an unprivileged user if this one is root's."""
    if os.geteuid() != 0:
        return _run([sys.executable], without)
    return _run([_readable_python()], without, user=NOBODY, group=NOBODY, extra_groups=[])


def _readable_python() -> str:
    program = _reader()
    if program is None:
        pytest.skip("no Python here can be started by an ordinary user")
    return program


def _run(command: list[str], without: list[SandboxLayer], **options: Any) -> dict[str, Any]:
    request = json.dumps({"without": without})
    done = subprocess.run(
        [*command, str(HERE / "escape_attempts.py"), request],
        cwd="/", capture_output=True, text=True, check=True, timeout=120, **options,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_held(result: dict[str, Any]) -> None:
    """Check that no attempt escaped, and that the worker can do its own work."""
    assert result["escaped"] == {}
    assert result["given"] == "given"
    assert result["untouched"]
    assert SECRET not in json.dumps(result["environment"])
    assert not {"SSH_AUTH_SOCK", "API_KEY", "USER"} & result["environment"].keys()
    assert len(result["files"]) <= 5, "three pipes, the answers, and a sign of life"


def test_sandbox_stops_every_attempt(tmp_path: Path) -> None:
    result = run_attempts(tmp_path, frozenset())
    check_held(result)
    assert all(result["report"]["protections"].values())
    if os.uname().machine == "x86_64":
        assert result["calls"] == []


def test_sandbox_stops_every_attempt_of_an_ordinary_user() -> None:
    result = run_as_user([])
    check_held(result)
    assert all(result["report"]["protections"].values())


def _states(result: dict[str, Any]) -> dict[str, bool]:
    return {one["layer"]: one["on"] for one in result["report"]["layers"]}


@pytest.mark.parametrize("left_out", ONE_OUT)
@pytest.mark.parametrize("user", ["this user", "an ordinary user"])
def test_sandbox_without_one_layer_stops_every_attempt(
    tmp_path: Path, left_out: SandboxLayer, user: str
) -> None:
    if user == "this user":
        result = run_attempts(tmp_path, frozenset({left_out}))
    else:
        result = run_as_user([left_out])
    states = _states(result)
    assert not states.get(left_out, False)
    result["escaped"].pop("limits", None)  # raising a limit has no effect on other layers
    if left_out is SandboxLayer.LIMITS:
        assert result["report"]["protections"][Protection.RESOURCES] == []
    if left_out is SandboxLayer.PRIVILEGES and not states.get("user-namespace"):
        assert not states[
            "landlock"
        ]  # the kernel refuses it to processes that could gain privileges
        assert not states["seccomp"]
    check_held(result)


@pytest.mark.parametrize("left_out", [None, *ONE_OUT])
def test_worker_that_may_become_a_program_still_cannot_escape(
    tmp_path: Path, left_out: SandboxLayer | None
) -> None:
    without = frozenset[SandboxLayer]() if left_out is None else frozenset({left_out})
    result = run_attempts(tmp_path, without, programs=True)
    result["escaped"].pop("limits", None)
    check_held(result)
    assert result.get("calls", []) == [] or os.uname().machine != "x86_64"


CONTAINERS = {
    "no user namespaces": [
        *("unshare", "--user", "--map-root-user", "sh", "-c"),
        'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all \
        --inh-caps=-all --securebits=+noroot,+noroot_locked "$0" "$@"',
    ],
    "root without administration": [
        "setpriv",
        "--bounding-set=-sys_admin",
        "--inh-caps=-sys_admin",
    ],
    "root with few rights": [
        *("setpriv", "--bounding-set=-all,+setuid,+setgid,+kill,+chown,+dac_override"),
        "--inh-caps=-all",
    ],
}
"""Start options of containers, which restrict the processes inside."""


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes the containers")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("without", [[], ["user-namespace"]], ids=["", "no user namespace"])
def test_sandbox_in_a_container_stops_every_attempt(
    container: str, without: list[SandboxLayer]
) -> None:
    if not all(map(shutil.which, ("unshare", "setpriv"))):
        pytest.skip("util-linux is not installed")
    result = _run([*CONTAINERS[container], _readable_python()], without)
    check_held(result)
    assert all(result["report"]["protections"].values())
    if without:
        assert not _states(result)["mount-namespace"]


@pytest.mark.parametrize("user", ["this user", "an ordinary user"])
def test_sandbox_without_namespaces_and_landlock_allows_only_reads(
    tmp_path: Path, user: str
) -> None:
    without = [
        SandboxLayer.USER_NAMESPACE, SandboxLayer.MOUNT_NAMESPACE, SandboxLayer.PID_NAMESPACE,
        SandboxLayer.NETWORK_NAMESPACE, SandboxLayer.IPC_NAMESPACE, SandboxLayer.LANDLOCK,
    ]  # fmt: skip
    if user == "this user":
        result = run_attempts(tmp_path, frozenset(without))
    else:
        result = run_as_user(without)
    missing = {name for name, by in result["report"]["protections"].items() if not by}
    assert missing == {Protection.READ_FILES}
    reads = {
        "ssh key", "open file", "by a link", "users", "passwords", "upwards", "machine", "root",
        "temporary", "processes", "/proc/environ", "/proc/maps", "/proc/root/etc/passwd",
    }  # fmt: skip
    assert result["escaped"].keys() <= reads
    assert result["untouched"]


def test_attempts_succeed_without_layers_and_the_report_shows_it(
    tmp_path: Path,
) -> None:
    """Without the layers the attempts succeed, so it is the layers that stop them."""
    result = run_attempts(tmp_path, frozenset(SandboxLayer) - {SandboxLayer.ENVIRONMENT})
    assert not any(result["report"]["protections"].values())
    expected = {"ssh key", "open file", "write", "tcp", "unix", "abstract", "fork", "/proc/environ"}
    assert expected <= result["escaped"].keys()
    assert result["escaped"]["ssh key"] == SECRET
