"""Small valid packs, to upload and publish: in memory, or cut from a tiny model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plain_models import write_tuned
from skillpm_world import World

from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.oci import CONFIG_TYPE, DELTA_TYPE, Descriptor, PackImage
from skillpm.spec.safetensors import dump_header, layout

ROOT = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class SmallPack:
    """A pack: its OCI manifest, and the bytes of the blobs that it names."""

    image: bytes
    blobs: dict[Digest, bytes]
    skill: str
    version: str

    @property
    def digest(self) -> Digest:
        return Digest.of(self.image)

    @property
    def layer(self) -> Digest:
        """The payload layer. The other blob is the manifest."""
        return list(self.blobs)[1]

    @property
    def namespace(self) -> str:
        return self.skill.partition("/")[0]


def small_pack(
    skill: str = "acme/math", version: str = "1.0.0", *, data: bytes = b"delta", **changes: Any
) -> SmallPack:
    """A pack of one payload layer; `changes` are keys of its manifest."""
    layer = dump_header(layout([TensorSpec("parts", "U8", (len(data),))]), {}) + data
    plain: dict[str, Any] = {
        "format": 2, "skill": skill, "version": version, "summary": "Adds numbers",
        "license": "Apache-2.0", "authors": [], "created": "2024-05-17T12:00:00Z",
        "base": {
            "name": "tiny", "root": ROOT, "architecture": "BertModel", "dtype": "F32",
            "parameters": 4, "tensors": 1,
        },
        "over": [], "requires": [], "conflicts": [], "capabilities": [],
        "compression": {
            "scheme": "lossless", "settings": {}, "payload_bytes": len(layer), "delta_bytes": 16,
            "ratio": 1.0, "relative_error": 0.0, "modules": {},
        },
        "footprint": [{
            "tensor": "weight", "change": "changed", "shape": [4], "dtype": "F32", "leaf": ROOT,
            "result": ROOT, "codec": "planes", "layer": str(Digest.of(layer)),
        }],
        "result_root": ROOT, "files": [], "sketch": "", "provenance": {},
        "architecture_facts": {"tied": {}, "names": {}, "config_keys": [], "library": None},
        "requires_capabilities": [], "lineage": [], "must_understand": [], **changes,
    }  # fmt: skip
    config = json.canonical(plain)
    parts = [Descriptor(media_type=DELTA_TYPE, digest=Digest.of(layer), size=len(layer))]
    head = Descriptor(media_type=CONFIG_TYPE, digest=Digest.of(config), size=len(config))
    image = PackImage(config=head, layers=parts).canonical()
    return SmallPack(image, {Digest.of(blob): blob for blob in (config, layer)}, skill, version)


def tuned_pack(world: World, base: Path, name: str, part: str, version: str, *more: object) -> Path:
    """The pack file of a model whose tensors named `part` differ from the base's."""
    tuned = world.folder / f"tuned-{part}-{version}"
    if not tuned.exists():
        write_tuned(tuned, part)
    return world.pack((base, tuned), name, version, *more)
