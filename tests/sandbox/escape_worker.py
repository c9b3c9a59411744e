"""A worker that tries to leave the sandbox; each attempt returns its result, or raises."""

import ctypes
import errno
import mmap
import os
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16
X86_64 = {
    "process_vm_readv": 310, "pidfd_open": 434, "pidfd_getfd": 438, "io_uring_setup": 425,
    "keyctl": 250, "bpf": 321, "userfaultfd": 323, "perf_event_open": 298, "memfd_create": 319,
    "unshare": 272, "mount": 165, "setns": 308, "chroot": 161, "setsid": 112, "name_to_handle_at":
    303, "open_by_handle_at": 304, "kexec_load": 246, "init_module": 175, "swapon": 167,
    "clone3": 435, "vfork": 58, "execveat": 322, "landlock_restrict_self": 446, "seccomp": 317,
    "shmget": 29, "msgget": 68, "mq_open": 240, "inotify_init1": 294, "fanotify_init": 300,
    "quotactl": 179, "ptrace": 101, "personality": 135, "setuid": 105, "socketpair": 53,
}  # fmt: skip
Attempt = Callable[[dict[str, Any]], Any]


def worker() -> Callable[[dict[str, Any]], dict[str, Any]]:
    return _answer


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    return {"got": ATTEMPTS[request["attempt"]](request)}


def _read(request: dict[str, Any]) -> str:
    return Path(request["path"]).read_text()[:200]


def _list(request: dict[str, Any]) -> list[str]:
    return [path.name for path in Path(request["path"]).iterdir()]


def _write(request: dict[str, Any]) -> str:
    Path(request["path"]).write_text("x")
    return "written"


def _environment(_request: dict[str, Any]) -> dict[str, str]:
    return dict(os.environ)


def _connect(request: dict[str, Any]) -> str:
    with socket.socket(getattr(socket, request["family"]), getattr(socket, request["kind"])) as one:
        address = request["address"]
        address = tuple(address) if isinstance(address, list) else address
        one.settimeout(2)
        one.connect(address)
        one.send(b"hello")
    return "sent"


def _fork(_request: dict[str, Any]) -> int:
    made = 0
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0)
        made += 1
    return made


def _thread(_request: dict[str, Any]) -> str:
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()
    thread.join()
    return "started"


def _execute(request: dict[str, Any]) -> None:
    os.execv(request["path"], [request["path"], "-c", "exit 0"])  # noqa: S606


def _allocate(request: dict[str, Any]) -> int:
    return len(bytearray(request["bytes"]))


def _map_shared(request: dict[str, Any]) -> int:
    with mmap.mmap(-1, request["bytes"], flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) as mapped:
        return len(mapped)


def _raise_limits(_request: dict[str, Any]) -> str:
    resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))
    return "raised"


def _signal(request: dict[str, Any]) -> str:
    os.kill(request["pid"], 0)  # the kernel checks it like a signal that kills
    return "may be killed"


def _signal_all(_request: dict[str, Any]) -> str:
    os.kill(-1, 0)
    return "may be killed"


def _parent(_request: dict[str, Any]) -> str:
    if os.getppid() == 0:
        raise ProcessLookupError(errno.ESRCH, "the parent is out of sight")
    os.kill(os.getppid(), 0)
    return "may be killed"


def _trace(request: dict[str, Any]) -> str:
    if LIBC.ptrace(PTRACE_ATTACH, request["pid"], None, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "attached"


def _calls(_request: dict[str, Any]) -> list[str]:
    """The kernel's calls that the filter does not refuse."""
    return [
        name
        for name, number in X86_64.items()
        if LIBC.syscall(number, 0, 0, 0, 0, 0, 0) >= 0
        or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)
    ]


def _open_files(_request: dict[str, Any]) -> list[int]:
    found = []
    for handle in range(1024):
        try:
            os.fstat(handle)
        except OSError:
            continue
        found.append(handle)
    return found


def _fill(_request: dict[str, Any]) -> int:
    written = 0
    for number in range(10_000):
        try:
            written += Path(f"{number}").write_bytes(bytes(1 << 16))
        except OSError:
            return written
    return written


def _sleep(_request: dict[str, Any]) -> None:
    while True:
        time.sleep(1)


def _spin(_request: dict[str, Any]) -> None:
    while True:
        pass


def _print(_request: dict[str, Any]) -> None:
    while True:
        os.write(2, b"x" * 65536)


def _answer_endlessly(_request: dict[str, Any]) -> None:
    answers = max(_open_files({}))
    for handle in range(3, answers + 1):
        try:
            while True:
                os.write(handle, b"x" * 65536)
        except OSError:
            continue


def _answer_twice(_request: dict[str, Any]) -> dict[str, Any]:
    for handle in range(3, 64):
        try:
            os.write(handle, b'{"answer": {"got": "forged"}}\n' * 2)
        except OSError:
            continue
    return {}


def _answer_nonsense(request: dict[str, Any]) -> None:
    for handle in range(3, 64):
        try:
            os.write(handle, request["line"].encode() + b"\n")
        except OSError:
            continue
    time.sleep(60)


def _large_answer(_request: dict[str, Any]) -> str:
    return "x" * (64 << 20)


def _crash(_request: dict[str, Any]) -> None:
    ctypes.string_at(0)


def _exit(_request: dict[str, Any]) -> None:
    os._exit(3)


def _panic(_request: dict[str, Any]) -> None:
    os.write(2, b"thread 'main' panicked at \x1b[2J src/lib.rs:1\n")
    os.abort()


ATTEMPTS: dict[str, Attempt] = {
    "read": _read, "list": _list, "write": _write, "environment": _environment,
    "connect": _connect, "fork": _fork, "thread": _thread, "execute": _execute,
    "allocate": _allocate, "map": _map_shared, "limits": _raise_limits, "signal": _signal,
    "signal all": _signal_all, "parent": _parent, "trace": _trace, "calls": _calls,
    "files": _open_files, "fill": _fill, "sleep": _sleep, "spin": _spin, "print": _print,
    "endless": _answer_endlessly, "twice": _answer_twice, "nonsense": _answer_nonsense,
    "large": _large_answer, "crash": _crash, "exit": _exit, "panic": _panic,
}  # fmt: skip
