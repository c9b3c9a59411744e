"""Pack files with changed parts and new digests; each is consistent."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from skillpm.archive.reader import PackFile, open_pack
from skillpm.archive.writer import write_archive
from skillpm.spec import oci
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest


def with_facts(pack: Path, path: Path, **facts: Any) -> Path:
    """The pack with other `architecture_facts`, as another version of the library states them."""
    opened = open_pack(pack)
    manifest = json.loads(opened.read(opened.image.config.digest))
    manifest["architecture_facts"] |= facts
    layers = [(layer.media_type, opened.read(layer.digest)) for layer in opened.image.layers]
    return written(path, opened.image_bytes, manifest, layers)


def written(
    path: Path, image_bytes: bytes, manifest: dict[str, Any], layers: list[tuple[str, bytes]]
) -> Path:
    """Compute the digests of changed parts, so that the pack file is consistent."""

    def described(media: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": media, "digest": str(Digest.of(data)), "size": len(data)}

    config = json.dumps(manifest).encode()
    image = json.loads(image_bytes)
    image["config"] = described(image["config"]["mediaType"], config)
    image["layers"] = [described(media, data) for media, data in layers]
    image_data = json.dumps(image).encode()
    entry = described(oci.MANIFEST_TYPE, image_data)
    entry["annotations"] = {"org.opencontainers.image.ref.name": manifest["version"]}
    index = {"schemaVersion": 2, "manifests": [entry]}
    files = {f"blobs/sha256/{Digest.of(b).hex}": b for b in (config, image_data)}
    files |= {f"blobs/sha256/{Digest.of(data).hex}": data for _, data in layers}
    files |= {"index.json": json.dumps(index).encode()}
    files |= {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            tar.addfile(info, io.BytesIO(files[name]))
    return path


def with_settings(pack: PackFile, path: Path, **more: Any) -> PackFile:
    """The same pack, whose manifest records more settings."""
    plain = pack.manifest.to_dict()
    plain["compression"]["settings"] |= more
    config = Manifest.model_validate(plain).canonical()
    digest = Digest.of(config)
    described = pack.image.config.model_copy(update={"digest": digest, "size": len(config)})
    image = pack.image.model_copy(update={"config": described})
    blobs: dict[Digest, Path | bytes] = {
        layer: pack.blobs[layer].read(0, size)
        for layer, size in pack.image.blobs.items()
        if layer != pack.image.config.digest
    }
    write_archive(path, image.canonical(), str(pack.manifest.version), {**blobs, digest: config})
    return open_pack(path)
