"""A private file system: Python's libraries, read-only, and one folder in memory."""

import ctypes
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from skillpm.sandbox import libc

FOLDER = "/folder"
"""The path of the worker's folder in the private file system."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC = 1, 2, 4, 8, 32, 4096, 16384
_PRIVATE = 1 << 18
_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_QUIET = _NOSUID | _NODEV | _NOEXEC
_SPARE = 1 << 20
"""Additional bytes for the folder's inodes and for rounding up file sizes."""
_INODES = 4096


def enter_private_files(
    root: Path, readable: Iterable[str], files: Mapping[str, bytes], writable: int
) -> str:
    """Make `root` the root of a private file system, and change to `FOLDER` in it.

    The file system contains the `readable` paths, bound read-only, and `FOLDER`. That folder is in
    memory: it contains `files`, takes `writable` bytes more, and ends with the process. The process
    must be in a new mount namespace. Raises `OSError`; call `leave_private_files` then.
    """
    libc.call("mount", "none", "/", None, _REC | _PRIVATE, None)
    libc.call("mount", "skillpm", root, "tmpfs", _QUIET, "size=4m,nr_inodes=16k,mode=755")
    for path in _outermost(readable):
        _bind(root, path)
    for device in _DEVICES:
        _bind_one(root, device, _ATTR_NOSUID)
    folder = root / FOLDER.lstrip("/")
    folder.mkdir()
    size = sum(map(len, files.values())) + writable + _SPARE
    options = f"size={size},nr_inodes={len(files) + _INODES},mode=755"
    libc.call("mount", "skillpm", folder, "tmpfs", _QUIET, options)
    write_files(folder, files)
    folder.chmod(0o777 if writable else 0o755)
    if not writable:
        libc.call("mount", None, folder, None, _REMOUNT | _RDONLY | _QUIET, None)
    libc.call("mount", None, root, None, _REMOUNT | _RDONLY | _QUIET, None)
    os.chdir(root)
    libc.syscall("pivot_root", ".", ".")
    libc.call("umount2", ".", _DETACH)
    os.chdir(FOLDER)
    return "Python's libraries, read-only, and a folder in memory"


def leave_private_files(root: Path) -> None:
    """Undo an incomplete `enter_private_files`, so that `root` is an ordinary folder again."""
    with suppress(OSError):
        os.chdir("/")
        libc.call("umount2", root, _DETACH)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files with plain names to a folder, readable by every user."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o444)


def _outermost(paths: Iterable[str]) -> list[str]:
    """The existing paths that are not inside another of the paths. Links are not resolved."""
    chosen: list[str] = []
    names = {os.path.normpath(path) for path in paths}
    for path in sorted(names, key=lambda name: (len(name), name)):
        inside = any(path.startswith(f"{outer}/") for outer in chosen)
        if not inside and os.path.exists(path):  # noqa: PTH110 - paths are strings here
            chosen.append(path)
    return chosen


def _bind(root: Path, path: str) -> None:
    """Bind a path read-only at the same path below `root`, with copies of the links in it."""
    real = os.path.realpath(path)
    _copy_links(root, path)
    _bind_one(root, real, _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV)


def _copy_links(root: Path, path: str) -> None:
    for _ in range(40):
        link = next((part for part in _prefixes(path) if os.path.islink(part)), None)  # noqa: PTH114
        if link is None:
            return
        target = os.readlink(link)  # noqa: PTH115
        copy = root / link.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.is_symlink():
            copy.symlink_to(target)
        rest = path[len(link) :]
        path = os.path.normpath(os.path.join(os.path.dirname(link), target) + rest)  # noqa: PTH118, PTH120


def _prefixes(path: str) -> Iterable[str]:
    parts = path.strip("/").split("/")
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def _bind_one(root: Path, real: str, attributes: int) -> None:
    target = root / real.lstrip("/")
    if target.exists():
        return
    if os.path.isdir(real):  # noqa: PTH112
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    libc.call("mount", real, target, None, _BIND | _REC, None)
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    libc.syscall(
        "mount_setattr",
        _AT_FDCWD,
        target,
        _AT_RECURSIVE,
        ctypes.byref(wanted),
        ctypes.sizeof(wanted),
    )
