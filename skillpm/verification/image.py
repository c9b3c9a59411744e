"""Check the OCI annotations of a pack against its manifest."""

from skillpm.spec import oci
from skillpm.spec.manifest import Manifest
from skillpm.spec.pack import ANNOTATED, annotations_of
from skillpm.verification.evidence import Discrepancies, Discrepancy


def check_annotations(image: oci.PackImage, manifest: Manifest) -> Discrepancies:
    """Compare skillpm's annotations with the manifest; annotations of other tools are ignored."""
    expected = annotations_of(manifest)
    for key, text in sorted((image.annotations or {}).items()):
        if key in ANNOTATED and text != expected.get(key):
            yield Discrepancy(
                f"OCI annotation {key}", text, expected.get(key, "not in the manifest")
            )
    titles = {file.digest: file.path for file in manifest.files}
    for layer in image.layer(oci.FILE_TYPE):
        title = (layer.annotations or {}).get(oci.TITLE)
        if title is not None and title != titles.get(layer.digest):
            yield Discrepancy(f"OCI title of {layer.digest.short}", title, titles.get(layer.digest))
