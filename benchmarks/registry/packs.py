"""Tiny valid packs, made without a model."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.oci import CONFIG_TYPE, DELTA_TYPE, Descriptor, PackImage
from skillpm.spec.safetensors import dump_header, layout

ROOT = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class TinyPack:
    """The OCI manifest of a pack, and its blobs: the manifest first, then one payload."""

    image: bytes
    blobs: dict[Digest, bytes]

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob of the pack."""
        return io.BytesIO(self.blobs[digest])


def tiny_pack(skill: str, version: str, data: bytes) -> TinyPack:
    """A pack whose payload is `data`, behind a header of safetensors."""
    payload = dump_header(layout([TensorSpec("parts", "U8", (len(data),))]), {}) + data
    manifest = json.canonical(_manifest(skill, version, payload))
    parts = {
        kind: Descriptor(media_type=kind, digest=Digest.of(blob), size=len(blob))
        for kind, blob in ((CONFIG_TYPE, manifest), (DELTA_TYPE, payload))
    }
    image = PackImage(config=parts[CONFIG_TYPE], layers=[parts[DELTA_TYPE]])
    return TinyPack(image.canonical(), {Digest.of(blob): blob for blob in (manifest, payload)})


def _manifest(skill: str, version: str, payload: bytes) -> dict[str, object]:
    return {
        "format": 2, "skill": skill, "version": version, "summary": "Measures a registry",
        "license": "Apache-2.0", "authors": [], "created": "2026-01-01T00:00:00Z",
        "base": {
            "name": "tiny", "root": ROOT, "architecture": "BertModel", "dtype": "F32",
            "parameters": 4, "tensors": 1,
        },
        "over": [], "requires": [], "conflicts": [], "capabilities": [],
        "compression": {
            "scheme": "lossless", "settings": {}, "payload_bytes": len(payload),
            "delta_bytes": 16, "ratio": 1.0, "relative_error": 0.0, "modules": {},
        },
        "footprint": [{
            "tensor": "weight", "change": "changed", "shape": [4], "dtype": "F32",
            "leaf": ROOT, "result": ROOT, "codec": "planes", "layer": str(Digest.of(payload)),
        }],
        "result_root": ROOT, "files": [], "sketch": "", "provenance": {},
        "architecture_facts": {"tied": {}, "names": {}, "config_keys": [], "library": None},
        "requires_capabilities": [], "lineage": [], "must_understand": [],
    }  # fmt: skip
