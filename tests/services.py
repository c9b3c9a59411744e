"""Real services for tests, started on 127.0.0.1: PostgreSQL, and S3 by moto."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

USER = "skillpm"
BUCKET = "skills"
KEY = "testing"
"""The access key of the S3 servers, and its secret."""
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A port below those that the kernel gives to connections, which may take one meanwhile."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _binary(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    if path is None:
        pytest.skip(f"PostgreSQL is not installed: there is no `{name}`")
    return path


@dataclass
class PostgresServer:
    """A PostgreSQL cluster in a temporary folder."""

    folder: Path
    port: int
    made: int = 0

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template0") -> str:
        """Create a database, and return its URL."""
        self.made += 1
        name = f"db{self.made}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def execute(self, sql: str) -> None:
        psycopg = pytest.importorskip("psycopg")
        address = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(sql)

    def wait(self) -> None:
        """Wait until the server accepts connections."""
        psycopg = pytest.importorskip("psycopg")
        for _ in range(1200):
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return
        pytest.fail("PostgreSQL does not start")


@contextmanager
def running(*command: str, signal: str = "TERM", user: str | None = None) -> Iterator[None]:
    """A server that ends by a signal when this process does, even if this process is killed."""
    # `cat` ends when the pipe from this process is closed.
    script = f'"$@" & server=$!; cat > /dev/null; kill -{signal} $server; wait $server'
    watch = subprocess.Popen(
        ["sh", "-c", script, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=user,
    )
    try:
        yield
    finally:
        watch.communicate()


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    initdb = _binary("initdb")
    folder = Path(tempfile.mkdtemp(prefix="skillpm-postgres-", dir="/tmp"))
    # PostgreSQL refuses to run as root.
    user = None if os.geteuid() else "postgres"
    if user is not None:
        shutil.chown(folder, user)
    data, port = str(folder / "data"), free_port()
    prepare = [initdb, "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"]
    options = (
        "listen_addresses=127.0.0.1", f"port={port}", "fsync=off", "max_connections=200",
        f"unix_socket_directories={folder}",
    )  # fmt: skip
    settings = [part for option in options for part in ("-c", option)]
    try:
        subprocess.run([*prepare, "--no-sync"], check=True, capture_output=True, cwd="/", user=user)
        command = [_binary("postgres"), "-D", data, *settings]
        with running(*command, signal="INT", user=user):
            server = PostgresServer(folder, port)
            server.wait()
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def moto() -> Iterator[str]:
    """An S3 server in another process. Yields its address."""
    pytest.importorskip("moto")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)):
        _wait_for(address)
        yield address


def _wait_for(address: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - 127.0.0.1
                return
        except OSError:
            time.sleep(0.1)
    pytest.skip("the S3 server of moto does not start")


def make_bucket(address: str, bucket: str = BUCKET) -> None:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
    )  # fmt: skip
    client.create_bucket(Bucket=bucket)
    client.close()
