"""Stage 6 of `pack`: the OCI manifest of a pack, its blobs, and the `.skillpack` file."""

from pathlib import Path

from skillpm.archive.writer import archive_size, write_archive
from skillpm.delta.encoding.measured import unmeasured
from skillpm.delta.encoding.schemes import Scheme
from skillpm.files.output import staged_path
from skillpm.flows.pack.attachments import Attachments
from skillpm.flows.pack.encoded_delta import EncodedDelta, Layers
from skillpm.flows.pack.manifest import draft_manifest
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.spec import oci
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.pack import annotations_of, check_pack
from skillpm.store.scratch import staged_beside

SLACK = 256
"""The most bytes by which the final manifest can be longer than that of a trial, without probes."""
EFFECT_BYTES = 768
"""The most bytes of the effect on probes."""


def write_file(
    session: Session, path: Path, manifest: Manifest, attachments: Attachments, delta: EncodedDelta
) -> tuple[Digest, int]:
    """Write the pack to `path` atomically; return its digest and the size of the file in bytes.

    Raises `SpecError`, and writes nothing, if the parts of the pack contradict each other: no
    command could read it.
    """
    image, blobs = _image(manifest, attachments, delta.layers)
    check_pack(image, manifest)
    with staged_beside(session.home, staged_path(path)):
        digest = write_archive(path, image.canonical(), str(manifest.version), blobs)
    return digest, path.stat().st_size


def file_size(
    session: Session, models: ModelPair, attachments: Attachments, scheme: Scheme, layers: Layers
) -> int:
    """An upper bound of the bytes of the pack file with these layers. Decodes nothing."""
    measured = {pair.tensor: unmeasured(pair.tensor) for pair in models.differing if pair.tuned}
    delta = EncodedDelta(scheme, layers, measured)
    manifest = draft_manifest(session.created, models, attachments, delta)
    image, blobs = _image(manifest, attachments, layers)
    slack = SLACK + (0 if attachments.effect is None else EFFECT_BYTES)
    return archive_size(image.canonical(), str(manifest.version), blobs) + slack


def _image(
    manifest: Manifest, attachments: Attachments, encoded: Layers
) -> tuple[oci.PackImage, dict[Digest, Path | bytes]]:
    """The OCI manifest, and every blob that it names as bytes or as a file."""
    config = manifest.canonical()
    blobs: dict[Digest, Path | bytes] = {Digest.of(config): config}
    layers = [
        oci.Descriptor(media_type=oci.DELTA_TYPE, digest=digest, size=path.stat().st_size)
        for digest, path in sorted(encoded.files.items())
    ]
    blobs |= encoded.files
    extra = [
        (oci.FILE_TYPE, data, file.path) for file, data in attachments.side if data is not None
    ]
    for media_type, data, title in (*extra, *attachments.layers):
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
