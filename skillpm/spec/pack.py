"""Checks that the parts of a pack agree: OCI manifest, manifest and side files."""

from collections.abc import Iterator
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
"""The annotations that `annotations_of` derives from a manifest."""


def check_pack(image: oci.PackImage, manifest: Manifest) -> None:
    """Raise `SpecError` with every contradiction between manifest and OCI manifest."""
    problems = Problems(f"the pack of {manifest.ref}")
    payload = {layer.digest for layer in image.layer(oci.DELTA_TYPE)}
    used = {entry.layer for entry in manifest.footprint if entry.layer}
    for entry in manifest.footprint:
        if entry.layer and entry.layer not in payload:
            problems.add(f"footprint of `{entry.tensor}`", f"no payload layer {entry.layer}")
    for digest in sorted(payload - used):
        problems.add("layers", f"no tensor uses the payload layer {digest}")
    problems.extend(_side_file_problems(image, manifest))
    stored = sum(layer.size for layer in image.layer(oci.DELTA_TYPE))
    if manifest.compression.payload_bytes != stored:
        stated = manifest.compression.payload_bytes
        problems.add("compression.payload_bytes", f"expected {stored}, found {stated}")
    for media_type in oci.SINGLE_TYPES:
        if len(image.layer(media_type)) > 1:
            problems.add("layers", f"more than one layer of type `{media_type}`")
    problems.raise_if_any()


def _side_file_problems(image: oci.PackImage, manifest: Manifest) -> Iterator[tuple[str, str]]:
    sizes = {layer.digest: layer.size for layer in image.layer(oci.FILE_TYPE)}
    listed = {file.digest for file in manifest.carried}
    for digest in sorted(listed - sizes.keys()):
        yield "files", f"{digest} is not a layer of the pack"
    for digest in sorted(sizes.keys() - listed):
        yield "layers", f"the side file {digest} is not in `files`"
    for file in manifest.carried:
        limit = size_limit(file.path)
        if sizes.get(file.digest, 0) > limit:
            yield f"files of `{file.path}`", f"{sizes[file.digest]} bytes; the limit is {limit}"


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """The annotations of a pack's OCI manifest, which registries show."""
    annotations = {
        "title": str(manifest.skill),
        "version": str(manifest.version),
        "description": manifest.summary,
        "licenses": manifest.license,
        "authors": ", ".join(manifest.authors),
        "created": manifest.created,
        "base.name": manifest.base.name,
    }
    return {f"{ANNOTATION}{key}": value for key, value in annotations.items() if value}


def read_side_file(file: SideFile, data: bytes, facts: ArchitectureFacts) -> Any:
    """Read a side file: the merge patch of a `patch`, the bytes of a `file`, None if `removed`.

    Raises `SpecError` if the file is invalid or changes what no pack may change. In `config.json`,
    only the `config_keys` of the pack's own `facts` may change, whatever the base is.
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
