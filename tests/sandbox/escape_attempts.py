"""All tested ways out of a sandbox, against real targets.

Also a program: `python escape_attempts.py '{"without": [LAYER]}'` prints the results as JSON, so
that another user can run it. It needs only the standard library.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.sandbox.errors import ForeignWorkError
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.process import Sandbox
from skillpm.sandbox.report import SandboxLayer

HERE = Path(__file__).parent
SECRET = "a-secret-of-the-user"  # noqa: S105 - it opens nothing
MODULE = "escape_worker"


@dataclass(frozen=True)
class Targets:
    """The targets of the attempts."""

    folder: Path
    victim: int
    port: int
    abstract: str

    def attempts(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each attempt by its name, as a request to the worker. No attempt ends the worker."""
        yield from self._files()
        local, remote = ["127.0.0.1", self.port], ["192.0.2.1", 80]
        for name, family, kind, address in (
            ("tcp", "AF_INET", "SOCK_STREAM", local),
            ("udp", "AF_INET", "SOCK_DGRAM", local),
            ("udp elsewhere", "AF_INET", "SOCK_DGRAM", remote),
            ("tcp over ipv6", "AF_INET6", "SOCK_STREAM", ["::1", self.port]),
            ("unix", "AF_UNIX", "SOCK_STREAM", str(self.folder / "agent")),
            ("abstract", "AF_UNIX", "SOCK_STREAM", f"\0{self.abstract}"),
        ):
            yield (
                name,
                {"attempt": "connect", "family": family, "kind": kind, "address": address},
            )
        yield "signal", {"attempt": "signal", "pid": self.victim}
        yield "signal all", {"attempt": "signal all"}
        yield "kill the parent", {"attempt": "parent"}
        yield "trace", {"attempt": "trace", "pid": self.victim}
        for name in ("environ", "mem", "maps", "root/etc/passwd"):
            yield f"/proc/{name}", {"attempt": "read", "path": f"/proc/{self.victim}/{name}"}
        yield "processes", {"attempt": "list", "path": "/proc"}
        yield "fork", {"attempt": "fork"}
        yield "thread", {"attempt": "thread"}
        yield "limits", {"attempt": "limits"}
        for program in ("/bin/sh", "/usr/bin/env", sys.executable):
            yield f"execute {program}", {"attempt": "execute", "path": program}

    def _files(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, path in (
            ("ssh key", self.folder / "home/.ssh/id"),
            ("open file", self.folder / "open.txt"),
            ("passwords", Path("/etc/shadow")),
            ("users", Path("/etc/passwd")),
            ("own memory", Path("/proc/self/mem")),
            ("machine", Path("/proc/version")),
        ):
            yield name, {"attempt": "read", "path": str(path)}
        yield "by a link", {"attempt": "read", "path": f"/proc/self/root{self.folder}/open.txt"}
        yield "upwards", {"attempt": "read", "path": "../" * 12 + "etc/passwd"}
        yield "root", {"attempt": "list", "path": "/var"}
        yield "temporary", {"attempt": "list", "path": str(self.folder)}
        yield "write", {"attempt": "write", "path": str(self.folder / "open.txt")}
        yield "write elsewhere", {"attempt": "write", "path": str(self.folder / "new.txt")}
        yield "write in its folder", {"attempt": "write", "path": "new.txt"}


@contextmanager
def targets(folder: Path) -> Iterator[Targets]:
    """A home with a key, servers of each kind, and a process to attack."""
    (folder / "home/.ssh").mkdir(parents=True)
    (folder / "home/.ssh/id").write_text(SECRET)
    (folder / "open.txt").write_text(SECRET)
    (folder / "open.txt").chmod(0o666)
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = tcp.getsockname()[1]
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", port))
        abstract = f"skillpm-test-{os.getpid()}"
        for address in (str(folder / "agent"), f"\0{abstract}"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(address)
            server.listen()
        victim = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"],
            env={**os.environ, "TOKEN": SECRET},
        )
        try:
            yield Targets(folder, victim.pid, port, abstract)
            assert victim.poll() is None, "the victim was killed"
        finally:
            victim.kill()
            victim.wait()


def run_attempts(
    folder: Path, without: frozenset[SandboxLayer], *, programs: bool = False
) -> dict[str, Any]:
    """Try everything; `escaped` holds what succeeded, `stopped` the error of everything else."""
    sandbox = Sandbox(SandboxPolicy(MODULE, without=without, programs=programs))
    result: dict[str, Any] = {"escaped": {}, "stopped": {}}
    try:
        with targets(folder) as reached:
            session = sandbox.open({"given.txt": b"given"}, 60.0)
            result["report"] = session.report.to_dict()
            result["given"] = session.ask({"attempt": "read", "path": "given.txt"})["got"]
            result["environment"] = session.ask({"attempt": "environment"})["got"]
            result["files"] = session.ask({"attempt": "files"})["got"]
            if SandboxLayer.SECCOMP in session.report.active:  # real calls, some of them harmful
                result["calls"] = session.ask({"attempt": "calls"})["got"]
            for name, request in reached.attempts():
                if not session.pipes.is_open:
                    session = sandbox.open({}, 60.0)
                try:
                    result["escaped"][name] = session.ask(request)["got"]
                except ForeignWorkError as problem:
                    result["stopped"][name] = f"{problem.kind}: {problem}"
            content = (reached.folder / "open.txt").read_text()
            result["untouched"] = content == SECRET and not (folder / "new.txt").exists()
    finally:
        sandbox.close()
    return result


def main() -> None:
    """Print the result for a request as JSON."""
    request = json.loads(sys.argv[1])
    os.environ["API_KEY"] = SECRET
    without = frozenset(map(SandboxLayer, request["without"]))
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(run_attempts(Path(folder), without)))


if __name__ == "__main__":
    main()
