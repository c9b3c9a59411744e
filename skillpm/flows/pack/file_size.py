"""Compute the size of a `.skillpack` file before its tensors are measured."""

from skillpm.archive.writer import archive_size
from skillpm.delta.auto.scheme import Auto
from skillpm.delta.encoding.measured import unmeasured
from skillpm.flows.pack.encode_layers import Layers
from skillpm.flows.pack.image import build_image
from skillpm.flows.pack.manifest import EncodedDelta, ModelPair, PackRequest, build_manifest
from skillpm.flows.pack.side_files import side_files
from skillpm.flows.session.session import Session

SLACK = 192
"""The most bytes by which the final manifest can be longer than that of a trial."""


def file_size(
    session: Session, request: PackRequest, models: ModelPair, scheme: Auto, layers: Layers
) -> int:
    """An upper bound of the bytes of the pack file with these layers. Decodes nothing."""
    side = side_files(models)
    measured = {pair.tensor: unmeasured(pair.tensor) for pair in models.differing if pair.tuned}
    delta = EncodedDelta(layers.draft, layers.encoded, layers.files, measured, side)
    manifest = build_manifest(request, models, delta, scheme, session.created)
    image, blobs = build_image(request, manifest, delta)
    return archive_size(image.canonical(), str(manifest.version), blobs) + SLACK
