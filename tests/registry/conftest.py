"""Tiny handmade packs, registries to publish them to, and a process to kill during that."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from ceph import ceph
from services import BUCKET, KEY, PostgresServer, make_bucket, moto, postgres

from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.oci import CONFIG_TYPE, DELTA_TYPE, Descriptor, PackImage
from skillpm.spec.safetensors import dump_header, layout
from skillpm_registry.backend import Backend, BackendPlaces, open_backend
from skillpm_registry.catalog.actor import LOCAL, Actor
from skillpm_registry.service import Registry, open_registry

NOW = datetime(2024, 5, 17, 12, 30, tzinfo=UTC)
ROOT = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class Pack:
    """A pack in memory: its OCI manifest, and the bytes of the blobs that it names."""

    image: bytes
    blobs: dict[Digest, bytes]

    @property
    def digest(self) -> Digest:
        return Digest.of(self.image)

    @property
    def manifest(self) -> Manifest:
        return parse_manifest(next(iter(self.blobs.values())))

    def open(self, digest: Digest) -> BinaryIO:
        return io.BytesIO(self.blobs[digest])

    def publish(self, registry: Registry) -> Any:
        return registry.publish(self.image, self.open, now=NOW)

    def upload(self, backend: Backend, actor: Actor = LOCAL, now: datetime = NOW) -> None:
        """Upload the blobs of the pack, without its OCI manifest."""
        namespace = str(self.manifest.skill.namespace)
        for digest, data in self.blobs.items():
            session = backend.uploads.begin(digest, len(data), namespace, actor, now=now)
            if session is not None:
                # Another worker with this account may have sent the bytes and not finished.
                if session.received < len(data):
                    rest = data[session.received :]
                    backend.uploads.append(session.id, session.received, rest, actor, now=now)
                backend.uploads.finish(session.id, actor, now=now)

    def publish_to(self, backend: Backend, actor: Actor = LOCAL, now: datetime = NOW) -> Any:
        """Upload and publish the pack."""
        self.upload(backend, actor, now)
        return backend.publisher.publish(self.image, actor, now=now)

    def save(self, folder: Path) -> Path:
        folder.mkdir()
        (folder / "image").write_bytes(self.image)
        for digest, data in self.blobs.items():
            (folder / digest.hex).write_bytes(data)
        return folder


def delta_of(data: bytes) -> bytes:
    return dump_header(layout([TensorSpec("parts", "U8", (len(data),))]), {}) + data


def manifest_of(payloads: tuple[bytes, ...], **changes: Any) -> bytes:
    plain: dict[str, Any] = {
        "format": 2, "skill": "acme/math", "version": "1.0.0", "summary": "Adds numbers",
        "license": "Apache-2.0", "authors": [], "created": "2024-05-17T12:00:00Z",
        "base": {
            "name": "tiny", "root": ROOT, "architecture": "BertModel", "dtype": "F32",
            "parameters": 4, "tensors": 1,
        },
        "over": [], "requires": [], "conflicts": [], "capabilities": [],
        "compression": {
            "scheme": "lossless", "settings": {}, "payload_bytes": sum(map(len, payloads)),
            "delta_bytes": 16, "ratio": 1.0, "relative_error": 0.0, "modules": {},
        },
        "footprint": [{
            "tensor": f"weight.{number}", "change": "changed", "shape": [4], "dtype": "F32",
            "leaf": ROOT, "result": ROOT, "codec": "planes", "layer": str(Digest.of(payload)),
        } for number, payload in enumerate(payloads)],
        "result_root": ROOT, "files": [], "sketch": "", "provenance": {},
        "architecture_facts": {"tied": {}, "names": {}, "config_keys": [], "library": None},
        "requires_capabilities": [], "lineage": [], "must_understand": [],
    }  # fmt: skip
    # Not canonical: ASCII escapes let a test write text that UTF-8 cannot.
    return json.dumps(plain | changes).encode()


def pack_of(data: bytes = b"delta", *, extra: tuple[bytes, ...] = (), **changes: Any) -> Pack:
    """A valid pack of one payload layer (and `extra` ones); `changes` are keys of its manifest."""
    payload = delta_of(data)
    layers = (payload, *extra)
    config = manifest_of(layers, **changes)
    parts = [Descriptor(media_type=DELTA_TYPE, digest=Digest.of(b), size=len(b)) for b in layers]
    head = Descriptor(media_type=CONFIG_TYPE, digest=Digest.of(config), size=len(config))
    image = PackImage(config=head, layers=parts)
    return Pack(image.canonical(), {Digest.of(blob): blob for blob in (config, *layers)})


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_pack() -> Callable[..., Pack]:
    return pack_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(folder: Path) -> Iterator[Registry]:
    opened = open_registry(folder, create=True, timeout=0.2)
    yield opened
    opened.close()


@pytest.fixture
def contents(folder: Path) -> Callable[[], dict[Path, bytes]]:
    """A function that reads all files of the registry, to compare before and after."""
    return lambda: {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "registry.lock"
    }


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg")
    with postgres() as server:
        server.execute("CREATE DATABASE migrated TEMPLATE template0")
        folder = server.folder / "blobs"
        places = BackendPlaces(server.url("migrated"), str(folder), str(folder))
        open_backend(places, create=True).close()
        yield server


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    pytest.importorskip("obstore")
    with moto() as address:
        make_bucket(address)
        yield address


@pytest.fixture(scope="session")
def ceph_address() -> Iterator[str]:
    pytest.importorskip("obstore")
    with ceph() as address:
        make_bucket(address)
        yield address


@pytest.fixture
def bucket(s3_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty prefix of a bucket of moto."""
    return use_bucket(s3_address, tmp_path, monkeypatch)


@pytest.fixture
def ceph_bucket(ceph_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty prefix of a bucket of Ceph."""
    return use_bucket(ceph_address, tmp_path, monkeypatch)


def use_bucket(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{BUCKET}/{folder.name}"


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)]


@pytest.fixture(params=DATABASES)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> BackendPlaces:
    """Where a registry may be, on either database, with blobs in a folder."""
    folder = tmp_path / "served"
    if request.param == "sqlite":
        return BackendPlaces.in_folder(folder)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return BackendPlaces(server.new_database("migrated"), str(folder), str(folder / "public"))


@pytest.fixture
def backend(places: BackendPlaces) -> Iterator[Backend]:
    """An empty registry on either database, with the namespaces `acme` and `beta`."""
    opened = open_backend(places, create=True)
    with opened.database.writing() as connection:
        for name in ("acme", "beta"):
            connection.exec_driver_sql(
                f"INSERT INTO namespace (name, created_at) VALUES ('{name}', CURRENT_TIMESTAMP)"  # noqa: S608
            )
    yield opened
    opened.close()


class Worker:
    """Another process, which runs actions on registries, or dies during one."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("worker.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def start(self, action: str, folder: Path, pack: Path | None = None, *, kill: int = 0) -> None:
        """Start `create` or `publish`; with `kill`, to die at that dangerous call."""
        assert self.process.stdin is not None
        order = {"action": action, "folder": str(folder), "pack": str(pack), "kill": kill}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def result(self) -> str:
        """The result: `killed`, or what was returned or raised."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def make_worker() -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def make() -> Worker:
        workers.append(Worker())
        return workers[-1]

    yield make
    for worker in workers:
        worker.process.communicate()
