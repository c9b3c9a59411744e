"""The documents `oci-layout` and `index.json` of an OCI image layout, read strictly."""

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
    """The annotations of an entry: only the ref name, which is the version of the pack."""

    model_config = _FORBID

    version: str = Field(alias="org.opencontainers.image.ref.name")


class IndexEntry(Document):
    """An entry of `manifests` in `index.json`."""

    model_config = _FORBID

    media_type: Literal["application/vnd.oci.image.manifest.v1+json"] = Field(alias="mediaType")
    digest: DigestField
    size: Annotated[int, Field(ge=0, lt=2**32)]
    annotations: Annotations | None = None
    artifact_type: str | None = Field(alias="artifactType", default=None)


class IndexFile(Document):
    """The document `index.json`. Unknown keys are refused, because no digest covers them."""

    model_config = _FORBID

    schema_version: Annotated[Literal[2], WHOLE] = Field(alias="schemaVersion")
    media_type: Literal["application/vnd.oci.image.index.v1+json"] | None = Field(
        alias="mediaType", default=None
    )
    manifests: list[IndexEntry]


class LayoutFile(Document):
    """The document `oci-layout`."""

    model_config = _FORBID

    version: Literal["1.0.0"] = Field(alias="imageLayoutVersion")


def index_of(manifests: Iterable[tuple[bytes, str, str | None]]) -> bytes:
    """The `index.json` for OCI manifests, given with their ref names and artifact types.

    The entry of a single pack has no type (contract, section 3).
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
        raise SpecError("index.json lists no manifest")
    return index


def check_layout(data: bytes) -> None:
    """Raise `SpecError` unless `oci-layout` has the supported version."""
    read_document(LayoutFile, json.parse_object(data, "oci-layout"), "oci-layout")
