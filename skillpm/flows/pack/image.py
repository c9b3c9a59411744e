"""Build the OCI manifest of a pack, and collect all blobs that it names."""

from pathlib import Path

from skillpm.flows.pack.manifest import EncodedDelta, PackRequest
from skillpm.spec import oci
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.pack import annotations_of


def build_image(
    request: PackRequest, manifest: Manifest, delta: EncodedDelta
) -> tuple[oci.PackImage, dict[Digest, Path | bytes]]:
    """The OCI manifest, and every blob that it names as bytes or as a file."""
    config = manifest.canonical()
    blobs: dict[Digest, Path | bytes] = {Digest.of(config): config}
    layers = [
        oci.Descriptor(media_type=oci.DELTA_TYPE, digest=digest, size=path.stat().st_size)
        for digest, path in sorted(delta.layers.items())
    ]
    blobs |= delta.layers
    extra = [(oci.FILE_TYPE, data, file.path) for file, data in delta.side if data is not None]
    extra += [(oci.CARD_TYPE, request.card, "README.md")] if request.card else []
    extra += [layer for attachment in request.attached for layer in attachment.layers]
    for media_type, data, title in extra:
        layers.append(_descriptor(media_type, data, title))
        blobs[Digest.of(data)] = data
    image = oci.PackImage(
        config=_descriptor(oci.CONFIG_TYPE, config, None),
        layers=layers,
        annotations=annotations_of(manifest),
    )
    return image, blobs


def _descriptor(media_type: str, data: bytes, title: str | None) -> oci.Descriptor:
    annotations = {oci.TITLE: title} if title else None
    return oci.Descriptor(
        media_type=media_type, digest=Digest.of(data), size=len(data), annotations=annotations
    )
