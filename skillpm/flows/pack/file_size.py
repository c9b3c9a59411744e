"""The size of a `.skillpack` before its results are known."""

from skillpm.archive.writer import archive_size
from skillpm.delta.auto.scheme import Auto
from skillpm.delta.encode.encode import unmeasured
from skillpm.flows.pack.encode_layers import Layers
from skillpm.flows.pack.image import build_image
from skillpm.flows.pack.manifest import EncodedDelta, ModelPair, PackRequest, build_manifest
from skillpm.flows.pack.side_files import side_files
from skillpm.flows.session.session import Session

SLACK = 192
"""Bytes that a manifest's figures may take more than those of a trial."""


def file_size(
    session: Session, request: PackRequest, against: ModelPair, scheme: Auto, layers: Layers
) -> int:
    """The bytes of the file that these layers would give, at most. Decodes nothing."""
    side = side_files(against)
    measured = {pair.tensor: unmeasured(pair.tensor) for pair in against.differing if pair.tuned}
    cut = EncodedDelta(layers.draft, layers.encoded, layers.files, measured, side)
    manifest = build_manifest(request, against, cut, scheme, session.created)
    image, blobs = build_image(request, manifest, cut)
    return archive_size(image.canonical(), str(manifest.version), blobs) + SLACK
