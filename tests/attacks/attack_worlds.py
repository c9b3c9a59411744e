"""A tiny honest pack, and functions that forge packs from it with valid digests."""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.checkpoint.write import write_all
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.schemes import GraftLLM, Lossless
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.errors import IntegrityError, RegistryError, SkillpmError
from skillpm.flows.inspect.verify import verify_pack
from skillpm.flows.pack.model_pair import PackRequest
from skillpm.flows.pack.pack import pack
from skillpm.flows.packs.composition import composed_identity
from skillpm.flows.session.session import Session
from skillpm.spec import oci
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.safetensors import dump_header, header_length, layout, parse_header
from skillpm.spec.versions import Version

NOW = datetime(2024, 5, 17, tzinfo=UTC)
EMBED, QUERY, NORM = "embed.weight", "layers.0.attn.q_proj.weight", "layers.0.norm.weight"
NEW, BUFFER = "score.weight", "buffer"
Change = Callable[[dict[str, Any]], None]


def _no_registry(_url: RegistryLocation, _create: bool) -> NoReturn:  # noqa: FBT001 - the protocol's form
    raise RegistryError("there is no registry here")


def _no_progress(_label: str, _total: int) -> Callable[[int], None]:
    return lambda _bytes: None


def setting_in(folder: Path) -> Session:
    return Session(
        home=folder / "home", project=folder, registry=None, base=None, offline=True, now=NOW,
        created=NOW, workers=1, lock_timeout=1.0, say=lambda _text: None, progress=_no_progress,
        connect=_no_registry,
    )  # fmt: skip


def write_model(folder: Path, config: dict[str, Any], *, tuned: bool) -> Path:
    values = {
        EMBED: np.arange(24, dtype="<f4").reshape(6, 4),
        QUERY: np.linspace(-1, 1, 64, dtype="<f4").reshape(8, 8),
        NORM: np.ones(4, dtype="<f4"),
        BUFFER: np.arange(3, dtype="<f4"),
    }
    if tuned:
        values[EMBED] = values[EMBED] + np.float32(0.5)
        values[QUERY] = values[QUERY] * np.float32(1.25)
        values[NORM][2] = 3
        values[NEW] = np.full((2, 2), 7, dtype="<f4")
        del values[BUFFER]
    folder.mkdir()
    placed = layout([TensorSpec(name, "F32", array.shape) for name, array in values.items()])
    data = b"".join(values[each.spec.name].tobytes() for each in placed)
    with (folder / "model.safetensors").open("wb") as file:
        write_all(file.fileno(), dump_header(placed, {}) + data, 0)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@dataclass
class Forge:
    """The documents and layers of a pack; `write` computes all digests."""

    manifest: dict[str, Any]
    image: dict[str, Any]
    layers: list[tuple[str, bytes]]
    index: dict[str, Any] = field(default_factory=dict)
    oci_layout: bytes = b'{"imageLayoutVersion":"1.0.0"}'
    raw_manifest: bytes | None = None
    extra: dict[str, bytes] = field(default_factory=dict)

    def layer_of(self, tensor: str) -> int:
        """The position of the payload layer that holds a tensor."""
        entry = self.entry(tensor)
        return next(
            n for n, (_, d) in enumerate(self.layers) if str(Digest.of(d)) == entry["layer"]
        )

    def entry(self, tensor: str) -> dict[str, Any]:
        return next(one for one in self.manifest["footprint"] if one["tensor"] == tensor)

    def replace_layer(self, number: int, data: bytes) -> None:
        """Replace the bytes of a layer and update the manifest."""
        media_type, old = self.layers[number]
        before, after = str(Digest.of(old)), str(Digest.of(data))
        for one in (*self.manifest["footprint"], *self.manifest["files"]):
            for key in ("layer", "digest"):
                if one.get(key) == before:
                    one[key] = after
        self.layers[number] = (media_type, data)
        sizes = [len(d) for t, d in self.layers if t == oci.DELTA_TYPE]
        self.manifest["compression"]["payload_bytes"] = sum(sizes)

    def files(self) -> dict[str, bytes]:
        """Every file of the archive by name."""
        config = self.raw_manifest or dump(self.manifest)
        image = {**self.image, "config": _descriptor(oci.CONFIG_TYPE, config)}
        image["layers"] = [_descriptor(*layer) for layer in self.layers]
        data = dump(image)
        entry = {
            "mediaType": oci.MANIFEST_TYPE, "digest": str(Digest.of(data)), "size": len(data),
            "annotations": {oci.REF_NAME: self.manifest.get("version", "1.0.0")},
        }  # fmt: skip
        index = {"schemaVersion": 2, "manifests": [entry], **self.index}
        blobs = [config, data, *(layer for _, layer in self.layers)]
        found = {blob_name(blob): blob for blob in blobs}
        return {**found, "index.json": dump(index), "oci-layout": self.oci_layout, **self.extra}

    def write(self, path: Path) -> Path:
        return write_tar(path, list(self.files().items()))


def forge_of(path: Path) -> Forge:
    """Read a pack into its documents and layers."""
    opened = open_pack(path)
    manifest = json.loads(opened.read(opened.image.config.digest))
    layers = [(one.media_type, opened.read(one.digest)) for one in opened.image.layers]
    return Forge(manifest, json.loads(opened.image_bytes), layers)


def dump(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def blob_name(data: bytes) -> str:
    return f"blobs/sha256/{Digest.of(data).hex}"


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


def write_tar(path: Path, files: list[tuple[str | tarfile.TarInfo, bytes]], **how: Any) -> Path:
    with tarfile.open(path, "w", format=how.pop("format", tarfile.USTAR_FORMAT), **how) as tar:
        for name, data in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def read_layer(data: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """The parts and the records of a payload layer."""
    length = header_length(data[:8], len(data), "layer")
    header = parse_header(data[8 : 8 + length], len(data), "layer")
    body = data[header.data_start :]
    parts = {each.spec.name: body[each.start : each.stop] for each in header.tensors}
    return parts, dict(header.metadata)


def make_layer(parts: dict[str, bytes], records: dict[str, str]) -> bytes:
    placed = layout([TensorSpec(name, "U8", (len(data),)) for name, data in parts.items()])
    return dump_header(placed, records) + b"".join(parts[each.spec.name] for each in placed)


@dataclass(frozen=True)
class World:
    """A base, and packs of the model tuned from it."""

    folder: Path
    base: Path
    packs: dict[str, Path]

    def forge(self, scheme: str = "lossless") -> Forge:
        return forge_of(self.packs[scheme])

    def verify(self, path: Path) -> str:
        """The root from `skillpm verify --base`, or its error."""
        return str(verify_pack(setting_in(self.folder), path, self.base).root)

    def graft_root(self, path: Path) -> str:
        """The root of base + pack, computed as by a graft; faster than `verify`."""
        opened = open_pack(path)
        model = open_checkpoint(self.base)
        identity = identify(model, workers=1)
        if opened.manifest.base.root != identity.root:
            raise IntegrityError("another base")
        one = OpenPack.of(opened.manifest, opened.open_layer)
        composition = Composition(model, [WeightedPack(one)])
        found = composed_identity(composition, identity, workers=1, advance=lambda _n: None)
        return str(found.root)


def make_world(folder: Path) -> World:
    base = write_model(folder / "base", {"model_type": "llama", "vocab_size": 1}, tuned=False)
    tuned = write_model(folder / "tuned", {"model_type": "llama", "vocab_size": 2}, tuned=True)
    packs: dict[str, Path] = {}
    for name, scheme in (("lossless", Lossless()), ("graftllm", GraftLLM(decompose, alpha=0.5))):
        packs[name] = folder / f"{name}.skillpack"
        skill, version = SkillName.parse(f"acme/{name}"), Version.parse("1.0.0")
        request = PackRequest(base, tuned, skill, version, output=packs[name], card=b"# card")
        pack(setting_in(folder), request, scheme)
    return World(folder, base, packs)


def refuse(world: World, forge: Forge, folder: Path) -> SkillpmError:
    """The SkillpmError that a forged pack causes; any other outcome fails the test."""
    with pytest.raises(SkillpmError) as problem:
        world.verify(forge.write(folder / "lie.skillpack"))
    return problem.value
