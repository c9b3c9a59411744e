"""A bundle: an environment in one file, an OCI artifact beside the packs that it needs.

Its OCI manifest has the identity of the base as config, and two layers: lock and project file
(ADR 0010).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import WHOLE, DigestField, Document, read_document
from skillpm.spec.oci import MANIFEST_TYPE, TITLE, Descriptor

BUNDLE_TYPE = "application/vnd.skillpm.bundle.v1+json"
BASE_TYPE = "application/vnd.skillpm.base.v1+json"
LOCK_TYPE = "application/vnd.skillpm.lock.v1+toml"
PROJECT_TYPE = "application/vnd.skillpm.project.v1+toml"


class BundledBase(Document):
    """The model that the environment is of: not in the bundle, but known by its root.

    What only packs tell of it is None in a bundle without packs.
    """

    format: Annotated[Literal[1], WHOLE] = 1
    name: str
    root: DigestField
    architecture: str | None = None
    dtype: str | None = None
    parameters: int | None = None
    tensors: int | None = None

    def canonical(self) -> bytes:
        """Its bytes."""
        return json.canonical(self.model_dump(mode="json", exclude_none=True))


class BundleImage(Document):
    """The OCI manifest of a bundle."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Annotated[Literal[2], WHOLE] = Field(alias="schemaVersion", default=2)
    media_type: Literal["application/vnd.oci.image.manifest.v1+json"] = Field(
        alias="mediaType", default="application/vnd.oci.image.manifest.v1+json"
    )
    artifact_type: Literal["application/vnd.skillpm.bundle.v1+json"] = Field(
        alias="artifactType", default="application/vnd.skillpm.bundle.v1+json"
    )
    config: Descriptor
    layers: list[Descriptor]

    def part(self, media_type: str) -> Descriptor:
        """The one layer of this type. Raises `SpecError` where there is none, or are several."""
        found = [layer for layer in self.layers if layer.media_type == media_type]
        if len(found) != 1:
            raise SpecError(f"a bundle has one layer `{media_type}`, found {len(found)}")
        return found[0]


@dataclass(frozen=True)
class BundleDocuments:
    """What a bundle holds beside packs, as bytes."""

    base: bytes
    lock: bytes
    project: bytes

    @property
    def blobs(self) -> dict[Digest, bytes]:
        """The documents by digest."""
        return {Digest.of(data): data for data in (self.base, self.lock, self.project)}

    def image(self) -> bytes:
        """The OCI manifest that names them."""
        named = (
            (BASE_TYPE, self.base, "base.json"),
            (LOCK_TYPE, self.lock, "skillpm.lock"),
            (PROJECT_TYPE, self.project, "skillpm.toml"),
        )
        config, *layers = [
            {
                "mediaType": kind,
                "digest": str(Digest.of(data)),
                "size": len(data),
                "annotations": {TITLE: title},
            }
            for kind, data, title in named
        ]
        head: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE}
        return json.canonical(
            {**head, "artifactType": BUNDLE_TYPE, "config": config, "layers": layers}
        )


def parse_bundle_image(data: bytes) -> BundleImage:
    """Read the OCI manifest of a bundle; raise `SpecError` with every problem and its path."""
    what = "the bundle's OCI manifest"
    image = read_document(BundleImage, json.parse_object(data, what), what)
    if image.config.media_type != BASE_TYPE:
        raise SpecError(f"{what} has a config that is not `{BASE_TYPE}`")
    return image


def parse_bundled_base(data: bytes) -> BundledBase:
    """Read the identity of a bundle's base."""
    what = "the bundle's base"
    return read_document(BundledBase, json.parse_object(data, what), what)
