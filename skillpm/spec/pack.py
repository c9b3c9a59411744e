"""What must hold between the parts of a pack: OCI manifest, manifest, side files."""

from typing import Any

from skillpm.errors import Problems
from skillpm.spec import json, oci
from skillpm.spec.manifest import ArchitectureFacts, Manifest, SideFile
from skillpm.spec.parts import WEIGHTS, split_part, weights_header
from skillpm.spec.sidefiles import FILE, PATCH, REMOVED, check_content, size_limit, suffix_of

ANNOTATION = "org.opencontainers.image."
ANNOTATED = frozenset(
    f"{ANNOTATION}{key}"
    for key in ("title", "version", "description", "licenses", "authors", "created", "base.name")
)
"""The annotations that `annotations_of` gives; others are their writers' own."""


def check_pack(image: oci.PackImage, manifest: Manifest) -> None:
    """Raise `SpecError` with every way in which the manifest does not fit the OCI manifest."""
    problems = Problems(f"the pack of {manifest.ref}")
    payload = {layer.digest for layer in image.layer(oci.DELTA_TYPE)}
    used = {entry.layer for entry in manifest.footprint if entry.layer}
    for entry in manifest.footprint:
        if entry.layer and entry.layer not in payload:
            problems.add(f"footprint of `{entry.tensor}`", f"{entry.layer} is no payload layer")
    for digest in sorted(payload - used):
        problems.add("layers", f"payload layer {digest} is used by no tensor")
    carried = {layer.digest for layer in image.layer(oci.FILE_TYPE)}
    named = {file.digest for file in manifest.carried}
    for digest in sorted(carried ^ named):
        problems.add("files", f"{digest} is named on one side only: as a layer, or in `files`")
    sizes = {layer.digest: layer.size for layer in image.layer(oci.FILE_TYPE)}
    for file in manifest.carried:
        if sizes.get(file.digest, 0) > size_limit(file.path):
            found = f"{sizes[file.digest]} bytes; at most {size_limit(file.path)} are read"
            problems.add(f"files of `{file.path}`", found)
    stored = sum(layer.size for layer in image.layer(oci.DELTA_TYPE))
    if manifest.compression.payload_bytes != stored:
        claimed = manifest.compression.payload_bytes
        problems.add("compression.payload_bytes", f"{claimed}, but the layers hold {stored}")
    for media_type in (oci.CARD_TYPE, oci.PROBES_TYPE, oci.ROUTER_TYPE):
        if len(image.layer(media_type)) > 1:
            problems.add("layers", f"more than one of `{media_type}`")
    problems.raise_if_any()


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """The annotations that a pack's OCI manifest has: what registries show of a manifest."""
    known = {
        "title": str(manifest.skill),
        "version": str(manifest.version),
        "description": manifest.summary,
        "licenses": manifest.license,
        "authors": ", ".join(manifest.authors),
        "created": manifest.created,
        "base.name": manifest.base.name,
    }
    return {f"{ANNOTATION}{key}": value for key, value in known.items() if value}


def read_side_file(file: SideFile, data: bytes, facts: ArchitectureFacts) -> Any:
    """The merge patch that a side file is, or its bytes; None for one that is removed.

    Raises `SpecError` where it is unsound, or changes what no pack may change: the `config_keys` of
    the pack's facts are the only keys of `config.json` that it may, whatever base it is put on.
    """
    if file.kind == REMOVED:
        return None
    what = f"side file `{file.path}`"
    part = split_part(file.path)
    if part is not None and part[1] == WEIGHTS:
        weights_header(data, what)
        return data
    if file.kind == FILE and suffix_of(file.path) != ".json":
        return data
    patch = file.kind == PATCH
    content = json.parse_object(data, what) if patch else json.parse(data, what)
    check_content(file.path, content, keys=facts.config_keys, patch=patch)
    return content if patch else data
