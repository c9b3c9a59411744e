"""Single layers: the seccomp program, the Seatbelt profile, the clean environment."""

import errno
import os
import sys
from pathlib import Path

import pytest

from skillpm.sandbox.layers.environment import clean_environment
from skillpm.sandbox.layers.privileges import become_ordinary_user
from skillpm.sandbox.layers.seatbelt import enter_seatbelt, profile
from skillpm.sandbox.layers.seccomp import Instruction, assemble
from skillpm.sandbox.layers.syscalls import MACHINES, NEEDED, WRITING
from skillpm.sandbox.readable_paths import readable_paths

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
DANGEROUS = {
    "x86_64": {"socket": 41, "connect": 42, "clone": 56, "fork": 57, "vfork": 58, "execve": 59,
               "ptrace": 101, "mount": 165, "unshare": 272, "keyctl": 250, "bpf": 321},
    "aarch64": {"socket": 198, "connect": 203, "clone": 220, "execve": 221, "ptrace": 117,
                "mount": 40, "unshare": 97, "keyctl": 219, "bpf": 280},
}  # fmt: skip
NEWER = {"clone3": 435, "io_uring_setup": 425, "pidfd_open": 434, "openat2": 437}
PROCESS = 77


def decide(program: list[Instruction], machine: int, number: int, *arguments: int) -> int:
    """The kernel's decision on a call: classic BPF over `struct seccomp_data`, as documented."""
    data = {0: number, 4: machine, **{16 + 8 * n: value for n, value in enumerate(arguments)}}
    place, loaded = 0, 0
    while True:
        code, yes, no, operand = program[place]
        place += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            loaded = data.get(operand, 0) & 0xFFFFFFFF
            continue
        holds = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: bool(loaded & operand)}
        place += yes if holds[code] else no


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("writable", [False, True])
def test_seccomp_filter_allows_only_the_listed_calls(machine: str, *, writable: bool) -> None:
    program = assemble(machine, PROCESS, writable=writable)
    own, column = ARCHITECTURES[machine], MACHINES.index(machine)
    allowed = {n[column] for n in {**NEEDED, **(WRITING if writable else {})}.values()}
    for number in range(600):
        decision = decide(program, own, number, 0, 0, 0)
        if number not in allowed:
            expected = errno.ENOSYS if number >= 424 else errno.EPERM
            assert decision == 0x50000 | expected, number
    assert not allowed & set(DANGEROUS[machine].values())
    assert not allowed & set(NEWER.values())
    assert decide(program, own, NEEDED["read"][column] or 0) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_seccomp_filter_checks_arguments_of_dangerous_calls(machine: str) -> None:
    program = assemble(machine, PROCESS, writable=False)
    own, column = ARCHITECTURES[machine], MACHINES.index(machine)

    def asked(name: str, *arguments: int) -> int:
        return decide(program, own, NEEDED[name][column] or 0, *arguments)

    assert asked("kill", PROCESS, 9) == asked("tgkill", PROCESS, PROCESS, 6) == ALLOW
    for victim in (1, 0, 0xFFFFFFFF, PROCESS + 1):
        assert asked("kill", victim, 9) == asked("tgkill", victim, 1, 9) == 0x50000 | errno.EPERM
    assert asked("prctl", 15) == ALLOW
    assert asked("prctl", 4) == asked("prctl", 1) == 0x50000 | errno.EPERM
    assert asked("prlimit64", 0, 7) == ALLOW
    assert asked("prlimit64", 1, 7) == 0x50000 | errno.EPERM
    assert asked("fcntl", 3, 8) == 0x50000 | errno.EPERM  # F_SETOWN sends signals
    assert asked("ioctl", 0, 0x5412) == 0x50000 | errno.ENOTTY  # TIOCSTI types into a terminal
    assert asked("openat", 0, 0, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY) == ALLOW
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDONLY | os.O_TMPFILE):
        assert asked("openat", 0, 0, flags) == 0x50000 | errno.EROFS


@pytest.mark.parametrize("machine", MACHINES)
def test_seccomp_filter_kills_on_another_architecture_or_x32(machine: str) -> None:
    program = assemble(machine, PROCESS, writable=False)
    other = next(value for name, value in ARCHITECTURES.items() if name != machine)
    assert decide(program, other, 0) == decide(program, 0x40000003, 0) == KILL
    assert decide(program, ARCHITECTURES[machine], 0x40000000) == KILL


def test_seatbelt_profile_denies_by_default_and_quotes_paths() -> None:
    text = profile(['/a path/"quoted"\\'], "/folder", writable=False)
    lines = text.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert r'(allow file-read* (subpath "/a path/\"quoted\"\\"))' in lines
    assert not any("network" in line and "allow" in line for line in lines)
    assert not any("file-write*" in line for line in lines)
    assert '(allow file-write* (subpath "/folder"))' in profile([], "/folder", writable=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="there it is put on, for good")
def test_enter_seatbelt_fails_on_other_systems() -> None:
    with pytest.raises(OSError, match="macOS only"):
        enter_seatbelt([], "/folder", writable=False)


def test_clean_environment_keeps_only_library_paths(tmp_path: Path) -> None:
    given = {
        "HF_TOKEN": "secret", "AWS_SECRET_ACCESS_KEY": "secret", "HOME": "/home/u",
        "SSH_AUTH_SOCK": "/run/agent", "PYTHONSTARTUP": "/evil.py", "LD_PRELOAD": "/evil.so",
        "PYTHONPATH": os.pathsep.join(["", "relative", ".", str(tmp_path)]),
        "LD_LIBRARY_PATH": "/opt/lib",
    }  # fmt: skip
    made = clean_environment(given)
    assert "secret" not in made.values()
    assert not {"SSH_AUTH_SOCK", "PYTHONSTARTUP", "LD_PRELOAD", "HF_TOKEN"} & made.keys()
    assert made["PYTHONPATH"] == str(tmp_path)
    assert made["LD_LIBRARY_PATH"] == "/opt/lib"
    assert made["HOME"] != "/home/u"


def test_readable_paths_exclude_a_whole_folder_of_the_python_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_package").mkdir()
    (tmp_path / "imported_package/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("imported_package")
    paths = readable_paths()
    assert str(tmp_path / "imported_package") in paths
    assert not {str(tmp_path), str(Path.home()), "/", "/etc", "/home"} & set(paths)
    del sys.modules["imported_package"]


def test_readable_paths_include_the_targets_of_linked_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's folder of Python has a link to a module in `/etc`."""
    package, elsewhere = tmp_path / "packages/linked_package", tmp_path / "elsewhere"
    package.mkdir(parents=True)
    elsewhere.mkdir()
    (package / "__init__.py").touch()
    (elsewhere / "module.py").touch()
    (package / "module.py").symlink_to(elsewhere / "module.py")
    monkeypatch.syspath_prepend(str(package.parent))
    __import__("linked_package.module")
    paths = readable_paths()
    del sys.modules["linked_package.module"], sys.modules["linked_package"]
    assert str(elsewhere / "module.py") in paths
    assert str(elsewhere) not in paths


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
def test_root_stays_root_if_an_ordinary_user_cannot_reach_the_folder(tmp_path: Path) -> None:
    """As with `TMPDIR` below root's home: the worker must read its files, whoever it is."""
    folder = tmp_path / "private/session/1"
    folder.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    (folder / "file").touch()
    with pytest.raises(OSError, match=r"cannot (reach|change)"):
        become_ordinary_user([], folder)
    assert os.geteuid() == 0
    assert folder.stat().st_uid == (folder / "file").stat().st_uid == 0
