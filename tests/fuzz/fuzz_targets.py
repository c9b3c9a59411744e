"""Every parser of what a stranger wrote: a function of bytes, and inputs that it reads.

A target may refuse by an error of ours, or answer; anything else that it raises is a finding.
"""

import base64
import sqlite3
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from coded_worlds import FAMILIES, case, part_of
from delta_worlds import Bytes, Model, cut, graftllm, layer_of, new_writer, numbers
from golden_worlds import HERE as GOLDEN
from spec_documents import manifest_plain

from registry.service import open_registry
from skillpm.adapters.config import parse_config
from skillpm.adapters.keys import sort_keys
from skillpm.archive.bundle import open_bundle
from skillpm.archive.layout import check_layout, read_index
from skillpm.archive.reader import open_pack
from skillpm.archive.writer import write_bundle
from skillpm.calibration.texts import read_texts
from skillpm.checkpoint.leaves import LeafCache
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.codecs import lowrank, topk
from skillpm.delta.entropy import decode_folded, decode_integers, encode_folded, encode_integers
from skillpm.delta.exact import Factor
from skillpm.delta.packs import DECODERS
from skillpm.delta.payload import PayloadReader
from skillpm.delta.ports import CHUNK
from skillpm.environment.edit import set_base, without_credentials
from skillpm.environment.generation import parse_generation
from skillpm.environment.intents import parse_intent
from skillpm.environment.known import KnownProjects
from skillpm.errors import SkillpmError
from skillpm.flows.survey_cache import SurveyCache
from skillpm.journal.owner import parse_owner, this_process
from skillpm.routing.signature import Signature, parse_signature
from skillpm.spec import json, toml
from skillpm.spec.advisory import parse_advisories
from skillpm.spec.budget import Budget
from skillpm.spec.bundle import (
    BundledBase,
    BundleDocuments,
    parse_bundle_image,
    parse_bundled_base,
)
from skillpm.spec.config import read_config
from skillpm.spec.conflict import sides
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.location import RegistryLocation
from skillpm.spec.lockfile import parse_lockfile
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import parse_image
from skillpm.spec.overlap import read_sketch
from skillpm.spec.plan import parse_plan
from skillpm.spec.probes import parse_probes
from skillpm.spec.project import parse_project
from skillpm.spec.requirements import Requirement, VersionRange
from skillpm.spec.safetensors import LENGTH_BYTES, header_length, parse_header
from skillpm.spec.savedindex import parse_index
from skillpm.spec.sidefiles import check_name, forbid_code, merge_patch
from skillpm.spec.versions import Version

ROOT = "sha256:" + "ab" * 32
FILE_KEY: Any = (1, 2, 3, 4, 5)
SPEC = TensorSpec("t", "F32", (6, 7))


@dataclass(frozen=True)
class Target:
    """A parser by name: what it does with bytes, and valid inputs to start from."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


@cache
def _scratch() -> Path:
    """A folder of this process for parsers that read files."""
    return Path(tempfile.mkdtemp(prefix="skillpm-fuzz-"))


def _file(data: bytes, name: str = "input") -> Path:
    path = _scratch() / name
    path.write_bytes(data)
    return path


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of a command line's word: any bytes may be in it."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def _utf8(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of a text file, which is read as UTF-8 before."""
    return lambda data: parse(data.decode("utf-8", "replace"))


def _requirement(text: str) -> object:
    need = Requirement.parse(text)
    return need.admits(need.skill, Version.parse("1.2.3")), str(need)


def _version(text: str) -> object:
    version = Version.parse(text)
    return version < Version.parse("1.2.3"), str(version), version in VersionRange.parse("^1")


def _advisories(data: bytes) -> object:
    found = parse_advisories(data, "the advisory")
    skill, version = SkillName.parse("acme/x"), Version.parse("1.0.0")
    return [
        (a.level, a.modified_at, a.canonical(), a.affects(skill, version), a.names,
         a.fixed_in(skill, version)) for a in found
    ]  # fmt: skip


def _project(text: str) -> object:
    file = parse_project(text)
    return file.requirements, file.root, set_base(text, "b"), without_credentials(text)


def _lock(text: str) -> str:
    return parse_lockfile(text).dumps()


def _manifest(data: bytes) -> object:
    manifest = parse_manifest(data)
    return manifest.canonical(), manifest.ref


def _header(data: bytes) -> object:
    length = header_length(data[:LENGTH_BYTES], len(data), "the file")
    return parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], len(data), "the file")


def _plain_json(data: bytes) -> object:
    plain = json.parse_object(data, "the document")
    return json.canonical(plain), merge_patch(plain, plain)


def _side(data: bytes) -> object:
    patch = json.parse_object(data, "config.json")
    return forbid_code(patch, "config.json")


def _keys(data: bytes) -> object:
    return sort_keys(data.decode("utf-8", "replace").split("\n"), "the adapter")


def _leaves(data: bytes) -> object:
    cached, key = LeafCache(_scratch() / "cache" / "leaves"), FILE_KEY
    cached.put(key, {})
    (path,) = (_scratch() / "cache" / "leaves").glob("*.json")
    path.write_bytes(data)
    return cached.get(key)


def _survey(data: bytes) -> object:
    found = SurveyCache(_scratch(), "survey")
    found.save("t", 1, [])
    (path,) = (_scratch() / "cache" / "surveys" / "survey").glob("*.json")
    path.write_bytes(data)
    return found.saved("t", 1)


def _owner(data: bytes) -> object:
    owner = parse_owner(data)
    return owner and (owner.life(), owner.told(1e9))


def _known(data: bytes) -> object:
    home = KnownProjects(_scratch() / "home")
    home.remember(_scratch(), ())
    (path,) = (_scratch() / "home" / "projects").glob("*.json")
    path.write_bytes(data)
    return [one.presence() for one in home]


def _known_seed() -> bytes:
    home = Path(tempfile.mkdtemp(prefix="skillpm-fuzz-seed-"))
    KnownProjects(home).remember(_scratch(), [Digest(ROOT)])
    (path,) = (home / "projects").glob("*.json")
    return path.read_bytes()


def _index_json(data: bytes) -> object:
    folder = _scratch() / "model"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors.index.json").write_bytes(data)
    return open_checkpoint(folder)


def _registry(data: bytes) -> object:
    folder = _scratch() / "registry"
    folder.mkdir(exist_ok=True)
    for path in folder.glob("registry.db*"):
        path.unlink()
    (folder / "blobs").mkdir(exist_ok=True)
    (folder / "registry.db").write_bytes(data)
    opened = open_registry(folder, patience=0)
    names = opened.skills()
    return names, opened.releases(names), opened.search("x"), opened.advisories()


def _rows(data: bytes) -> object:
    """One row of a release: its columns are a JSON list of values."""
    values = json.parse(data, "the row")
    if not isinstance(values, list):
        return None
    folder = _scratch() / "rows"
    if not folder.exists():
        open_registry(folder, create=True).close()
    with closing(sqlite3.connect(folder / "registry.db", isolation_level=None)) as connection:
        if not _written(connection, [_column(value) for value in values]):
            return None
    opened = open_registry(folder, patience=0)
    return opened.releases(opened.skills()), opened.search("x"), opened.advisories()


def _written(connection: sqlite3.Connection, values: list[Any]) -> bool:
    """Whether SQLite takes the row, without the checks that a stranger's database has not."""
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
    "acme/x", "MIT", "lossless", 4, "2026-01-01", "2026-01-01 00:00:00.000000", 0, "", "a",
    '{"id": "a", "modified": "2026-01-31T12:00:00Z"}',
)  # fmt: skip


def _column(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else str(value).encode()


def _insert(connection: sqlite3.Connection, values: list[Any]) -> None:
    values = [*values, *ROW][: len(ROW)] if len(values) < len(ROW) else values[: len(ROW)]
    connection.execute("INSERT INTO skill VALUES (1, ?, ?)", values[:2])
    marks = ", ".join("?" * (len(values) - 4))
    connection.execute(f"INSERT INTO release VALUES (1, 1, {marks}, NULL)", values[2:-2])  # noqa: S608 - marks alone
    connection.execute("INSERT INTO advisory VALUES (?, ?, '2026', '2026')", values[-2:])


def _decode(spec: TensorSpec, reader: PayloadReader, settings: Any, codec: str) -> object:
    decoder: Any = DECODERS[codec](spec, reader, settings)
    reference = np.arange(spec.elements, dtype="<u4" if spec.itemsize == 4 else "<u2")
    found = []
    for number, start in enumerate(range(0, spec.elements, CHUNK)):
        words = reference[start : start + CHUNK]
        if codec in ("lossless", "whole"):
            found.append(decoder.words(number, words))
        elif codec == "lowrank":
            found.append(decoder.words(number, words, spec.name))
            found.append(decoder.delta(number, words))
        else:
            found.append(decoder.delta(number))
    return found


def _layer(spec: TensorSpec, data: bytes) -> object:
    """A layer as it comes: its header, its records, and each tensor's decode."""
    reader = PayloadReader(Bytes(data), "the layer")
    return [
        _decode(spec, reader, record.settings, record.codec)
        for name, record in reader.records.items()
        if name == spec.name and record.codec in DECODERS
    ]


def _coded(family: str) -> Target:
    """A codec's one part: the bytes alone are altered, the record is right."""
    one = case(family, (6, 7), seed=3, scaled=True)
    read = lambda data: _decode(one.spec, part_of(one.spec, data), one.record.settings, family)  # noqa: E731
    return Target(f"codec {family}: part", read, (one.data,))


def _layer_of_case(family: str) -> Target:
    one = case(family, (6, 7), seed=3, scaled=True)
    writer = new_writer()
    writer.put_plain("t", "d", one.data)
    writer.describe("t", one.record)
    return Target(f"codec {family}: layer", partial(_layer, one.spec), (layer_of(writer),))


def _layers() -> Iterator[Target]:
    """Layers of codecs whose parts are planes and frames."""
    values = np.linspace(-1, 1, 42)
    base = Model({"t": numbers("F32", (6, 7), values)})
    tuned = Model({"t": numbers("F32", (6, 7), values + 0.01 * np.sin(np.arange(42)))})
    for name, scheme in (("lossless", None), ("svd", graftllm())):
        pack = cut(base, tuned, scheme=scheme)
        layer = pack.entries["t"].layer
        assert layer is not None
        data = pack.open_layer(layer)
        seed = data.read(0, data.size)
        yield Target(f"codec {name}: layer", partial(_layer, SPEC), (seed,))
    u = numbers("F32", (1,), 0.5)
    added = cut(Model({"u": u}), Model({"u": u, **tuned.tensors}))
    layer = added.entries["t"].layer
    assert layer is not None
    data = added.open_layer(layer)
    yield Target("codec whole: layer", partial(_layer, SPEC), (data.read(0, data.size),))
    yield Target("codec topk: layer", partial(_layer, SPEC), (_topk(),))
    yield Target("codec lowrank: layer", partial(_layer, SPEC), (_lowrank(None), _lowrank(0)))


def _topk() -> bytes:
    writer = new_writer()
    topk.encode(SPEC, np.sin(np.arange(42.0)), 9, writer)
    return layer_of(writer)


def _lowrank(axis: int | None) -> bytes:
    writer = new_writer()
    words = np.arange(14, dtype="<u4").reshape(2, 7) + np.uint32(0x3F800000)
    more = np.arange(12, dtype="<u4").reshape(6, 2) + np.uint32(0x3F800000)
    scales = None if axis is None else np.linspace(0.9, 1.1, 6)
    update = lowrank.Update(Factor(words, "F32"), Factor(more, "F32"), 0.5, False, axis, scales)
    lowrank.encode(SPEC, update, writer)
    return layer_of(writer)


def _entropy() -> Iterator[Target]:
    random = np.random.default_rng(1)
    contexts = (np.arange(300) % 5).astype(np.uint8)
    values = random.integers(-40, 40, 300).astype(np.int32)
    folded = random.integers(0, 2**20, 300).astype(np.uint32)
    yield Target(
        "entropy: integers", lambda data: decode_integers(data, contexts),
        (encode_integers(values, contexts), encode_integers(np.zeros_like(values), contexts)),
    )  # fmt: skip
    yield Target(
        "entropy: folded", lambda data: decode_folded(data, contexts),
        (encode_folded(folded, contexts), encode_folded(folded & np.uint32(3), contexts)),
    )  # fmt: skip


def _signature_seed() -> bytes:
    random = np.random.default_rng(2)
    points = random.standard_normal((40, 12))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Signature(Digest(ROOT), points, points, "file").dumps()


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
    marks = ", ".join("?" * (len(ROW) - 4))
    connection.execute(f"INSERT INTO release VALUES (1, 1, {marks}, NULL)", ROW[2:-2])  # noqa: S608 - marks alone


def _dump(plain: Any) -> bytes:
    return json.canonical(plain)


def _descriptor(kind: str, size: int = 5) -> dict[str, Any]:
    return {"mediaType": kind, "digest": ROOT, "size": size}


IMAGE = {
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "artifactType": "application/vnd.skillpm.skillpack.v1+json",
    "config": _descriptor("application/vnd.skillpm.manifest.v1+json"),
    "layers": [_descriptor("application/vnd.skillpm.delta.v1+safetensors")],
    "annotations": {"org.opencontainers.image.title": "x"},
}  # fmt: skip
BUNDLE = {
    "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "artifactType": "application/vnd.skillpm.bundle.v1+json",
    "config": _descriptor("application/vnd.skillpm.base.v1+json"),
    "layers": [_descriptor("application/vnd.skillpm.lock.v1+toml")],
}  # fmt: skip
INDEX = {
    "schemaVersion": 2,
    "manifests": [{
        **_descriptor("application/vnd.oci.image.manifest.v1+json"),
        "annotations": {"org.opencontainers.image.ref.name": "1.0.0"},
    }],
}  # fmt: skip
ADVISORY = {
    "id": "ACME-1", "modified": "2026-01-31T12:00:00Z", "summary": "bad", "aliases": ["CVE-1"],
    "severity": [{"type": "CVSS_V3", "score": "9.8"}], "database_specific": {"severity": "high"},
    "affected": [{
        "package": {"ecosystem": "skillpm", "name": "acme/x"}, "versions": ["1.0.0"],
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}],
    }],
}  # fmt: skip
GENERATION = {
    "number": 1, "created": "2026-01-01T00:00:00Z", "action": "install", "base_root": ROOT,
    "skills": [{
        "skill": "acme/x", "version": "1.0.0", "digest": ROOT, "scheme": "lossless",
        "registry": "default", "payload_bytes": 5, "weight": 0.5,
    }],
    "wishes": {"acme/x": "^1"}, "lock": "version = 1", "format": 1,
}  # fmt: skip
PLAN = {
    "schema_version": 1, "plan": {
        "format": 1, "action": "install", "frozen": False,
        "basis": {"project_file": ROOT, "lock": ROOT, "generation": 1, "base_root": ROOT},
        "lock": {
            "version": 1, "base": {"name": "tiny", "root": ROOT}, "graft": {"method": "sum"},
            "skill": [{
                "skill": "acme/x", "version": "1.0.0", "digest": ROOT, "size": 5,
                "registry": "default", "weight": 1.0, "requires": ["acme/b ^1"],
            }, {
                "skill": "acme/b", "version": "1.0.0", "digest": ROOT, "size": 5,
                "registry": "default", "weight": 1.0, "requires": [],
            }],
        },
        "wishes": {"acme/x": {"version": "^1"}}, "files": [{"path": "/x", "digest": ROOT}],
    },
}  # fmt: skip
INTENT = {
    "kind": "switch", "number": 3,
    "files": [{"name": "skillpm.toml", "before": ROOT, "after": "x"}],
}  # fmt: skip
SWAP = {"kind": "graft", "ready": True, "folder": ["out"], "name": "graft"}
PROBES = (
    b'{"probes": 1, "tolerance": 0.1, "tolerances": {"exact_match": 0.2}}\n'
    b'{"prompt": "1+1=", "answer": "2"}\n{"prompt": "2+2=", "answer": "4"}\n'
    b'{"question": "1+1?", "choices": ["1", "2"], "answer": 1}\n{"text": "a text"}\n'
)
ADAPTER = {
    "peft_type": "LORA", "r": 2, "lora_alpha": 4, "rank_pattern": {"q_proj": 3}, "bias": "none",
    "alpha_pattern": {r"layers\.\d+\.v_proj": 8}, "target_modules": ["q_proj"],
    "modules_to_save": ["head"], "use_rslora": True, "init_lora_weights": True,
}  # fmt: skip
SAVED = {"skills": {"acme/math": {"1.0.0": {
    "requires": ["acme/numbers ^1"], "conflicts": [], "yanked": False, "base": ROOT,
}}}}  # fmt: skip
PROJECT = f"""[project]
base = "../model"
root = "{ROOT}"

[skills]
"acme/math" = "^1.2" # kept
"acme/sql" = {{ version = ">=1, <2", weight = 0.5, registry = "corp" }}

[graft]
mode = "merged"

[registries]
corp = {{ url = "https://bob:pw@r.example/x", namespaces = ["corp"] }}

[audit]
fail-on = "high"
""".encode()
LOCK = f"""version = 1

[base]
name = "tiny"
root = "{ROOT}"

[graft]
mode = "merged"
method = "sum"
root = "{ROOT}"

[[skill]]
skill = "acme/math"
version = "1.2.0"
digest = "{ROOT}"
size = 100
registry = "default"
weight = 1.0
requires = ["acme/b ^1"]
""".encode()
KEYS = b"\n".join(
    f"base_model.model.model.layers.{n}.q_proj.lora_{side}.default.weight".encode()
    for n in range(2)
    for side in "AB"
)
CONFIG = b'registry = "./r"\nworkers = 2\ncolor = "auto"\noffline = true\nlock-timeout = 3.5\n'


def _packs() -> tuple[bytes, ...]:
    return tuple((GOLDEN / f"{name}.skillpack").read_bytes() for name in ("graftllm-832", "lora"))


def _bundle() -> bytes:
    """An environment without skills."""
    base = BundledBase(name="tiny", root=Digest(ROOT)).canonical()
    lock = LOCK.partition(b"[[skill]]")[0]
    project = f'[project]\nbase = "tiny"\nroot = "{ROOT}"\n[skills]\n'.encode()
    documents = BundleDocuments(base, _lock(lock.decode()).encode(), project)
    path = _scratch() / "seed.bundle"
    write_bundle(path, documents.image(), {}, documents.blobs)
    return path.read_bytes()


def _documents() -> Iterator[Target]:
    yield Target("manifest", _manifest, (_dump(manifest_plain()),))
    yield Target("OCI image manifest", parse_image, (_dump(IMAGE),))
    yield Target("OCI index", read_index, (_dump(INDEX),))
    yield Target("OCI layout", check_layout, (b'{"imageLayoutVersion":"1.0.0"}',))
    yield Target("advisory", _advisories, (_dump(ADVISORY), _dump([ADVISORY])))
    yield Target("probes", partial(parse_probes, what="the probes"), (PROBES,))
    yield Target("saved index", parse_index, (_dump(SAVED),))
    yield Target("plan", partial(parse_plan, what="the plan"), (_dump(PLAN),))
    yield Target("bundle image", parse_bundle_image, (_dump(BUNDLE),))
    yield Target("bundle base", parse_bundled_base, (_dump(manifest_plain()["base"]),))
    generation = partial(parse_generation, what="the generation")
    yield Target("generation", generation, (_dump(GENERATION),))
    yield Target(
        "adapter config", partial(parse_config, what="the config"), (_dump(ADAPTER),)
    )  # fmt: skip
    yield Target("side file", _side, (b'{"vocab_size": 5, "auto_map": null}',))
    yield Target("JSON", _plain_json, (_dump(manifest_plain()),))


def _texts() -> Iterator[Target]:
    yield Target("lockfile", _utf8(_lock), (LOCK,))
    yield Target("project file", _utf8(_project), (PROJECT,))
    yield Target("merge conflict", _utf8(sides), (b"<<<<<<< a\nx\n=======\ny\n>>>>>>> b\n",))
    config = lambda text: read_config(toml.parse(text, "config"), "config")  # noqa: E731
    yield Target("user config", _utf8(config), (CONFIG,))
    yield Target("requirement", _text(_requirement), (b"acme/x >=1.2, <2", b"acme/x@~1.2.3-rc.1"))
    yield Target("version", _text(_version), (b"1.2.3-rc.1+b", b"10.0.0"))
    yield Target("skill name", _text(SkillName.parse), (b"acme/a.b_c--d",))
    yield Target("digest", _text(Digest), (ROOT.encode(),))
    yield Target("budget", _text(Budget.parse), (b"80MB", b"5%", b"1.5 GiB"))
    yield Target(
        "location", _text(RegistryLocation.parse), (b"https://u:p@h:8/x?y#z", b"file:///a%20")
    )
    yield Target("side file name", _text(check_name), (b"tokenizer.json",))
    yield Target(
        "sketch", _text(read_sketch), (base64.b64encode(struct.pack("<256f", *range(256))),)
    )
    yield Target("adapter keys", _keys, (KEYS,))


def _files() -> Iterator[Target]:
    yield Target("pack file", lambda data: open_pack(_file(data)), _packs())
    yield Target("bundle file", lambda data: open_bundle(_file(data)), (_bundle(),))
    yield Target("router examples", lambda data: read_texts(_file(data)), (
        b'{"text": "a"}\n{"text": "b"}\n', b"one\n\ntwo\n",
    ))  # fmt: skip
    yield Target("leaf cache", _leaves, (_dump({"key": list(FILE_KEY), "leaves": {"t": ROOT}}),))
    point = {"choice": {"family": "grid", "step": 0.5}, "size": 3.0, "distortion": 0.1}
    yield Target("survey cache", _survey, (_dump({"points": [point]}),))
    yield Target("holder", _owner, (this_process("install", 1e9).dumps(),))
    yield Target("known project", _known, (_known_seed(),))
    intent = partial(parse_intent, path=Path("journal.json"))
    yield Target("journal", intent, (_dump(INTENT), _dump(SWAP)))
    index = {"metadata": {"total_size": 4}, "weight_map": {"t": "model-1.safetensors"}}
    yield Target("checkpoint index", _index_json, (_dump(index),))
    checkpoint = lambda data: open_checkpoint(_file(data, "m.safetensors"))  # noqa: E731
    yield Target("checkpoint file", checkpoint, (_topk(),))
    yield Target("registry database", _registry, (_registry_seed(),))
    yield Target("registry rows", _rows, (_dump(list(ROW)),))


def all_targets() -> Iterator[Target]:
    """Every parser; made where they are used, for seeds cost some milliseconds each."""
    yield from _documents()
    yield from _texts()
    yield from _files()
    yield Target("safetensors header", _header, (_topk(), _lowrank(0)))
    signature = lambda data: parse_signature(data, Digest(ROOT), "the signature")  # noqa: E731
    yield Target("router signature", signature, (_signature_seed(),))
    yield from _entropy()
    yield from map(_coded, FAMILIES)
    yield from map(_layer_of_case, FAMILIES)
    yield from _layers()


def outcome_of(target: Target, data: bytes) -> str:
    """`read`, or the kind of the error by which it is refused. Lets everything else through."""
    try:
        target.run(data)
    except SkillpmError as problem:
        if problem.kind == "internal":
            raise
        return problem.kind
    return "read"
