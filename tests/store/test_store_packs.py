import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from skillpm.errors import DigestMismatchError, NotFoundError, SkillpmError, SpecError
from skillpm.spec import json, oci
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import dump_header, layout
from skillpm.store.blobs import Store
from skillpm.store.packs import fetch_documents, fetch_pack, is_complete, load_pack

ROOT = "sha256:" + "ab" * 32
PATCH = b'{"a":2}'


@dataclass
class Shelf:
    blobs: dict[Digest, bytes]

    def open_blob(self, digest: Digest) -> BinaryIO:
        if digest not in self.blobs:
            raise NotFoundError(f"blob `{digest}` is not there")
        return io.BytesIO(self.blobs[digest])


def _manifest(layer: bytes, patch: bytes) -> bytes:
    entry = {
        "tensor": "w", "change": "changed", "shape": [1], "dtype": "U8", "leaf": ROOT,
        "result": ROOT, "codec": "whole", "layer": str(Digest.of(layer)),
    }  # fmt: skip
    compression = {
        "scheme": "lossless", "settings": {}, "payload_bytes": len(layer), "delta_bytes": 1,
        "ratio": 1.0, "relative_error": None, "modules": {},
    }  # fmt: skip
    base: dict[str, Any] = {"name": "b", "root": ROOT, "architecture": "a", "dtype": "U8"}
    base |= {"parameters": 1, "tensors": 1}
    file = {"path": "config.json", "digest": str(Digest.of(patch)), "kind": "patch"}
    return json.canonical({
        "format": 2, "skill": "acme/one", "version": "1.0.0", "summary": "", "license": None,
        "authors": [], "created": "2024-05-17T00:00:00Z", "base": base, "over": [],
        "requires": [], "conflicts": [], "capabilities": [], "compression": compression,
        "footprint": [entry], "result_root": ROOT, "files": [file], "sketch": "", "provenance": {},
        "architecture_facts": {
            "tied": {}, "names": {}, "config_keys": ["a"], "library": "transformers 5.24.0",
        },
        "requires_capabilities": [], "lineage": [], "must_understand": [],
    })  # fmt: skip


def _pack(patch: bytes = PATCH) -> tuple[Digest, dict[Digest, bytes]]:
    layer = (
        dump_header(layout([TensorSpec("w/0p0", "U8", (1,))]), {"w": '{"codec":"whole"}'}) + b"x"
    )
    manifest = _manifest(layer, patch)
    parts = [(oci.CONFIG_TYPE, manifest), (oci.DELTA_TYPE, layer), (oci.FILE_TYPE, patch)]
    described: list[dict[str, Any]] = [
        {"mediaType": kind, "digest": str(Digest.of(data)), "size": len(data)}
        for kind, data in parts
    ]
    image = json.canonical({
        "schemaVersion": 2, "mediaType": oci.MANIFEST_TYPE, "artifactType": oci.ARTIFACT_TYPE,
        "config": described[0], "layers": described[1:],
    })  # fmt: skip
    blobs = {Digest.of(data): data for data in (image, manifest, layer, patch)}
    return Digest.of(image), blobs


def test_fetch_documents_omits_the_payload_and_fetch_pack_completes_it(tmp_path: Path) -> None:
    digest, blobs = _pack()
    store, shelf = Store(tmp_path), Shelf(blobs)
    assert not is_complete(store, digest)
    documents, fetched = fetch_documents(store, digest, shelf)
    assert not is_complete(store, digest)
    payload = documents.manifest.compression.payload_bytes
    assert fetched == documents.size - payload
    pack, more = fetch_pack(store, digest, shelf)
    assert more == payload
    assert is_complete(store, digest)
    assert pack.size == sum(len(data) for data in blobs.values())
    layer = pack.manifest.footprint[0].layer
    assert layer is not None
    assert pack.open_layer(layer).size == payload
    assert pack.read(pack.manifest.files[0].digest) == PATCH
    assert load_pack(Store(tmp_path), digest).manifest == pack.manifest


@pytest.mark.parametrize("number", range(4))
def test_fetch_pack_detects_any_altered_blob(number: int, tmp_path: Path) -> None:
    digest, blobs = _pack()
    victim = list(blobs)[number]
    blobs[victim] = blobs[victim][:-1] + b"\x00"
    with pytest.raises(DigestMismatchError):
        fetch_pack(Store(tmp_path), digest, Shelf(blobs))
    assert not is_complete(Store(tmp_path), digest)


@pytest.mark.parametrize("number", range(4))
def test_fetch_pack_with_a_missing_blob_raises_not_found(number: int, tmp_path: Path) -> None:
    digest, blobs = _pack()
    del blobs[list(blobs)[number]]
    with pytest.raises(NotFoundError):
        fetch_pack(Store(tmp_path), digest, Shelf(blobs))


def test_fetch_documents_refuses_a_side_file_that_loads_code(tmp_path: Path) -> None:
    digest, blobs = _pack(b'{"auto_map":{"AutoModel":"x.Y"}}')
    with pytest.raises(SpecError, match="auto_map"):
        fetch_documents(Store(tmp_path), digest, Shelf(blobs))


def test_fetch_documents_refuses_a_blob_that_is_not_a_pack(tmp_path: Path) -> None:
    data = b'{"schemaVersion":2}'
    with pytest.raises(SkillpmError):
        fetch_documents(Store(tmp_path), Digest.of(data), Shelf({Digest.of(data): data}))
