"""A real server in a process of its own, and a client of its API over real sockets."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from skillpm_world import PACKAGES, run_process
from small_packs import SmallPack

PROBLEM = "application/problem+json"


@dataclass
class Server:
    """A running `skillpm registry serve`. `start` may be called again after `kill` or `stop`."""

    folder: Path
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    url: str = ""

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of the log, without the lines that are for people."""
        lines = (self.folder / "stderr").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def printed(self) -> str:
        return (self.folder / "stdout").read_text()

    def start(self) -> "Server":
        command = [sys.executable, "-m", "skillpm", "registry", "serve", *self.arguments]
        known = {**os.environ, "PYTHONPATH": PACKAGES, "SKILLPM_HOME": str(self.folder / "home")}
        begin = (self.folder / "stderr").stat().st_size if (self.folder / "stderr").exists() else 0
        with (self.folder / "stderr").open("ab") as err, (self.folder / "stdout").open("ab") as out:
            self.process = subprocess.Popen(
                command, env={**known, **self.environment}, stdout=out, stderr=err,
                cwd=self.folder,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            text = (self.folder / "stderr").read_text()[begin:]
            ready = [line for line in text.splitlines() if line.startswith("serving http")]
            if ready:
                self.url = ready[0].removeprefix("serving ")
                return self
            if self.process.poll() is not None:
                raise AssertionError(text + self.printed)
            time.sleep(0.02)
        raise AssertionError(f"no answer: {text}")

    def kill(self) -> None:
        """SIGKILL: nothing is finished or cleaned up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def client(self, token: str | None = None) -> "Api":
        return Api(self.url, token)


class Api:
    """Requests to a server with one token."""

    def __init__(self, url: str, token: str | None = None) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        # One request for each connection: a server may be killed and started again.
        self.http = httpx.Client(
            base_url=url, headers=headers, timeout=60, trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )  # fmt: skip

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """Send a request that must get this status; return the document."""
        response = self.http.request(method, path, **options)
        assert response.status_code == status, (response.status_code, response.text)
        if status >= 400:
            assert response.headers["content-type"] == PROBLEM
            assert response.json()["status"] == status
            assert response.json()["kind"]
        return response.json() if response.content else None

    def fail(self, method: str, path: str, status: int, **options: Any) -> str:
        """Send a request that must be refused with this status; return the detail."""
        detail: str = self.ask(method, path, status, **options)["detail"]
        return detail

    def upload(self, data: bytes, digest: object, namespace: str, chunk: int = 1 << 20) -> None:
        """Upload one blob, unless it is present."""
        plain = {"digest": str(digest), "size": len(data), "namespace": namespace}
        response = self.http.post("/v1/uploads", json=plain)
        assert response.status_code in (200, 201), response.text
        session = response.json()
        if session["state"] == "present":
            return
        for offset in range(session["offset"], len(data), chunk):
            self.append(session["id"], offset, data[offset : offset + chunk])
        self.ask("PUT", f"/v1/uploads/{session['id']}")

    def append(self, session: str, offset: int, data: bytes, status: int = 200) -> Any:
        headers = {"upload-offset": str(offset), "content-type": "application/octet-stream"}
        path = f"/v1/uploads/{session}"
        return self.ask("PATCH", path, status, content=data, headers=headers)

    def publish(self, pack: SmallPack, status: int = 201) -> Any:
        """Upload all blobs of a pack and publish it."""
        for digest, data in pack.blobs.items():
            self.upload(data, digest, pack.namespace)
        return self.release(pack.image, status)

    def release(self, image: bytes, status: int = 201) -> Any:
        kind = "application/vnd.oci.image.manifest.v1+json"
        return self.ask(
            "POST", "/v1/releases", status, content=image, headers={"content-type": kind}
        )

    def namespace(self, name: str, **more: Any) -> None:
        self.ask("POST", "/v1/namespaces", 201, json={"name": name, **more})

    def token(self, *actions: str, **more: Any) -> str:
        plain = {"actions": list(actions), "patterns": ["*"], **more}
        token: str = self.ask("POST", "/v1/tokens", 201, json=plain)["token"]
        return token


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Server]:
    """A server that is stopped at the end."""
    folder.mkdir(exist_ok=True)
    server = Server(folder, ["--port", "0", *arguments], environment).start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


def initialized(arguments: list[str]) -> str:
    """Create the registry of a configuration; return the token of its administrator."""
    created = run_process("registry", "init", *arguments, "--json")
    assert created.code == 0, created
    token: str = created.json["token"]
    return token


def configured(folder: Path, database: str | None = None, **more: str) -> list[str]:
    """The arguments for a server with folders below `folder`, and no rate limits.

    The default database is SQLite. `more` are lines of the configuration by table.
    """
    folder.mkdir(exist_ok=True)
    tables = {"limits": "reads_per_minute = 0\nwrites_per_minute = 0", **more}
    lines = [
        f'database = "{database or f"sqlite:///{folder}/registry.db"}"', f'blobs = "{folder}"',
        f'static = "{folder}/public"', 'url = "http://skills.test"', tables.pop("head", ""),
        *(f"[{name}]\n{text}" for name, text in tables.items()),
    ]  # fmt: skip
    path = folder.parent / f"{folder.name}.toml"
    path.write_text("\n".join(lines))
    return ["--config", str(path)]


def fresh(admin: Api, **more: object) -> str:
    """A namespace that no other test uses."""
    name = f"t{secrets.token_hex(6)}"
    admin.namespace(name, **more)
    return name
