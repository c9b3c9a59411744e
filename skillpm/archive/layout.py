"""The two small documents of an OCI image layout, written plainly and read strictly."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from skillpm.errors import SpecError
from skillpm.spec import json, oci
from skillpm.spec.digests import Digest
from skillpm.spec.fields import WHOLE, DigestField, Document, read_document

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
BLOBS = "blobs/sha256/"
_FORBID = ConfigDict(extra="forbid", populate_by_name=True)


class Annotations(Document):
    """The one annotation that a pack's entry has."""

    model_config = _FORBID

    version: str = Field(alias="org.opencontainers.image.ref.name")


class IndexEntry(Document):
    """One manifest of `index.json`."""

    model_config = _FORBID

    media_type: Literal["application/vnd.oci.image.manifest.v1+json"] = Field(alias="mediaType")
    digest: DigestField
    size: Annotated[int, Field(ge=0, lt=2**32)]
    annotations: Annotations | None = None
    artifact_type: str | None = Field(alias="artifactType", default=None)


class IndexFile(Document):
    """`index.json`; unknown keys are refused, since nobody vouches for them."""

    model_config = _FORBID

    schema_version: Annotated[Literal[2], WHOLE] = Field(alias="schemaVersion")
    media_type: Literal["application/vnd.oci.image.index.v1+json"] | None = Field(
        alias="mediaType", default=None
    )
    manifests: list[IndexEntry]


class LayoutFile(Document):
    """`oci-layout`."""

    model_config = _FORBID

    version: Literal["1.0.0"] = Field(alias="imageLayoutVersion")


def index_of(manifests: Iterable[tuple[bytes, str, str | None]]) -> bytes:
    """The `index.json` that names these OCI manifests: each with its ref name and artifact type.

    A pack's entry goes without the type, as the contract has it.
    """
    entries = [
        {
            "mediaType": oci.MANIFEST_TYPE,
            "digest": str(Digest.of(image)),
            "size": len(image),
            "annotations": {oci.REF_NAME: name},
            **({"artifactType": kind} if kind else {}),
        }
        for image, name, kind in manifests
    ]
    return json.canonical({"schemaVersion": 2, "manifests": entries})


def read_index(data: bytes) -> IndexFile:
    """Read `index.json`. Raises `SpecError` with every problem."""
    index = read_document(IndexFile, json.parse_object(data, "index.json"), "index.json")
    if not index.manifests:
        raise SpecError("index.json names no manifest")
    return index


def check_layout(data: bytes) -> None:
    """Raise `SpecError` unless `oci-layout` is of the version that we read."""
    read_document(LayoutFile, json.parse_object(data, "oci-layout"), "oci-layout")
