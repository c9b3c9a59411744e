"""Parsers of files: packs, caches, records of a home, and a registry's database."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from fuzz_codecs import topk_layer
from fuzz_seeds import INTENT, LOCK, ROOT, SWAP, dump
from fuzz_target import Target, scratch, write_input
from golden_worlds import HERE as GOLDEN

from skillpm.archive.bundle import open_bundle
from skillpm.archive.reader import open_pack
from skillpm.archive.writer import write_bundle
from skillpm.calibration.texts import read_texts
from skillpm.checkpoint.leaves import LeafCache
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.auto.points import CandidatePoint, EncodingChoice, TensorSurvey
from skillpm.environment.intents import parse_intent
from skillpm.environment.known_projects import KnownProjects
from skillpm.errors import SpecError
from skillpm.flows.pack.survey_cache import SurveyCache
from skillpm.journal.owner import parse_owner, this_process
from skillpm.spec import json
from skillpm.spec.bundle import (
    BundledBase,
    BundleDocuments,
)
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import parse_lockfile
from skillpm.spec.sealed import seal
from skillpm_registry.service import open_registry

FILE_KEY: Any = (1, 2, 3, 4, 5)


def _leaves(data: bytes) -> object:
    cached, key = LeafCache(scratch() / "cache" / "leaves"), FILE_KEY
    cached.put(key, {})
    (path,) = (scratch() / "cache" / "leaves").glob("*.json")
    path.write_bytes(data)
    return cached.get(key)


def _survey(data: bytes) -> object:
    found = SurveyCache(scratch(), "survey")
    found.save("t", TensorSurvey(1.0, (CandidatePoint(EncodingChoice("zero"), 65.0, 1.0),)))
    (path,) = (scratch() / "cache" / "surveys" / "survey").glob("*.json")
    path.write_bytes(_sealed(data))
    return found.load("t")


def _sealed(data: bytes) -> bytes:
    """Seal a JSON object, so that the parser of its content is reached; other bytes unchanged."""
    try:
        return seal(json.parse_object(data, "the content"))
    except SpecError:
        return data


def _owner(data: bytes) -> object:
    owner = parse_owner(data)
    return owner and (owner.state(), owner.describe(1e9))


def _known(data: bytes) -> object:
    home = KnownProjects(scratch() / "home")
    home.remember(scratch(), ())
    (path,) = (scratch() / "home" / "projects").glob("*.json")
    path.write_bytes(data)
    return [one.presence() for one in home]


def _known_seed() -> bytes:
    home = Path(tempfile.mkdtemp(prefix="skillpm-fuzz-seed-"))
    KnownProjects(home).remember(scratch(), [Digest(ROOT)])
    (path,) = (home / "projects").glob("*.json")
    return path.read_bytes()


def _index_json(data: bytes) -> object:
    folder = scratch() / "model"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors.index.json").write_bytes(data)
    return open_checkpoint(folder)


def _registry(data: bytes) -> object:
    folder = scratch() / "registry"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("registry.db*"):
        path.unlink()
    (folder / "blobs").mkdir(exist_ok=True)
    (folder / "registry.db").write_bytes(data)
    opened = open_registry(folder, timeout=0)
    names = opened.skills()
    return names, opened.releases(names), opened.search("x"), opened.advisories()


def _rows(data: bytes) -> object:
    """One row of a release: its columns are a JSON list of values."""
    values = json.parse(data, "the row")
    if not isinstance(values, list):
        return None
    folder = scratch() / "rows"
    if not folder.exists():
        open_registry(folder, create=True).close()
    with closing(sqlite3.connect(folder / "registry.db", isolation_level=None)) as connection:
        if not _written(connection, [_column(value) for value in values]):
            return None
    opened = open_registry(folder, timeout=0)
    return opened.releases(opened.skills()), opened.search("x"), opened.advisories()


def _written(connection: sqlite3.Connection, values: list[Any]) -> bool:
    """Whether SQLite accepts the row, without the checks that an untrusted database may lack."""
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    code = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    kept = connection.execute(code).fetchall()
    connection.execute("BEGIN")
    for name, _ in kept:
        connection.execute(f"DROP TRIGGER {name}")
    for table in ("release", "skill", "advisory"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
    try:
        _insert(connection, values)
    except (sqlite3.Error, OverflowError, UnicodeEncodeError):
        connection.execute("ROLLBACK")
        return False
    for _, sql in kept:
        connection.execute(sql)
    connection.execute("COMMIT")
    return True


ROW = (
    "acme", "x", "1.0.0", ROOT, 5, ROOT, "tiny", "Tiny", '["acme/b ^1"]', "[]", "[]", "adds up",
    "acme/x", "MIT", "lossless", 4, "2026-01-01", "2026-01-01 00:00:00.000000", 0, "", 0, "", "a",
    '{"id": "a", "modified": "2026-01-31T12:00:00Z"}',
)  # fmt: skip


_MARKS = ", ".join("?" * (len(ROW) - 6))
_INSERT_RELEASE = f"INSERT INTO release VALUES (1, 1, {_MARKS}, NULL, ?, ?, NULL)"  # noqa: S608 - marks alone
"""The times of yank and quarantine are NULL."""


def _column(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else str(value).encode()


def _insert(connection: sqlite3.Connection, values: list[Any]) -> None:
    values = [*values, *ROW][: len(ROW)] if len(values) < len(ROW) else values[: len(ROW)]
    connection.execute("INSERT INTO skill VALUES (1, ?, ?)", values[:2])
    connection.execute(_INSERT_RELEASE, values[2:-2])
    connection.execute("INSERT INTO advisory VALUES (?, ?, '2026', '2026')", values[-2:])


def _registry_seed() -> bytes:
    folder = Path(tempfile.mkdtemp(prefix="skillpm-fuzz-seed-")) / "r"
    open_registry(folder, create=True).close()
    with sqlite3.connect(folder / "registry.db") as connection:
        connection.execute("INSERT INTO skill VALUES (1, 'acme', 'x')")
        connection.execute("PRAGMA foreign_keys = OFF")
        _release_row(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return (folder / "registry.db").read_bytes()


def _release_row(connection: sqlite3.Connection) -> None:
    connection.execute(_INSERT_RELEASE, ROW[2:-2])


def _packs() -> tuple[bytes, ...]:
    return tuple((GOLDEN / f"{name}.skillpack").read_bytes() for name in ("graftllm-832", "lora"))


def _bundle() -> bytes:
    """An environment without skills."""
    base = BundledBase(name="tiny", root=Digest(ROOT)).canonical()
    lock = LOCK.partition(b"[[skill]]")[0]
    project = f'[project]\nbase = "tiny"\nroot = "{ROOT}"\n[skills]\n'.encode()
    documents = BundleDocuments(base, parse_lockfile(lock.decode()).dumps().encode(), project)
    path = scratch() / "seed.bundle"
    write_bundle(path, documents.image(), {}, documents.blobs)
    return path.read_bytes()


def file_targets() -> Iterator[Target]:
    yield Target("pack file", lambda data: open_pack(write_input(data)), _packs())
    yield Target("bundle file", lambda data: open_bundle(write_input(data)), (_bundle(),))
    yield Target("router examples", lambda data: read_texts(write_input(data)), (
        b'{"text": "a"}\n{"text": "b"}\n', b"one\n\ntwo\n",
    ))  # fmt: skip
    yield Target("leaf cache", _leaves, (dump({"key": list(FILE_KEY), "leaves": {"t": ROOT}}),))
    point = {"choice": {"family": "grid", "step": 0.5}, "size": 3.0, "distortion": 0.1}
    yield Target("survey cache", _survey, (dump({"energy": 1.0, "points": [point]}),))
    yield Target("holder", _owner, (this_process("install", 1e9).dumps(),))
    yield Target("known project", _known, (_known_seed(),))
    intent = partial(parse_intent, path=Path("journal.json"))
    yield Target("journal", intent, (dump(INTENT), dump(SWAP)))
    index = {"metadata": {"total_size": 4}, "weight_map": {"t": "model-1.safetensors"}}
    yield Target("checkpoint index", _index_json, (dump(index),))
    checkpoint = lambda data: open_checkpoint(write_input(data, "m.safetensors"))  # noqa: E731
    yield Target("checkpoint file", checkpoint, (topk_layer(),))
    yield Target("registry database", _registry, (_registry_seed(),))
    yield Target("registry rows", _rows, (dump(list(ROW)),))
