"""A bundle: an environment in one file, an OCI artifact together with its packs (ADR 10).

The config of its OCI manifest is the identity of the base. The two layers are the lock and the
project file.
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
    """The identity of the environment's base. The bundle does not contain the base itself.

    `architecture`, `dtype`, `parameters` and `tensors` come from packs, so they are None in a
    bundle without packs.
    """

    format: Annotated[Literal[1], WHOLE] = 1
    name: str
    root: DigestField
    architecture: str | None = None
    dtype: str | None = None
    parameters: int | None = None
    tensors: int | None = None

    def canonical(self) -> bytes:
        """The document in canonical JSON."""
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
        """The layer of this type. Raises `SpecError` if there is none, or more than one."""
        layers = [layer for layer in self.layers if layer.media_type == media_type]
        if len(layers) != 1:
            raise SpecError(f"the bundle has {len(layers)} layers `{media_type}`, expected one")
        return layers[0]


@dataclass(frozen=True)
class BundleDocuments:
    """The documents of a bundle, as bytes."""

    base: bytes
    lock: bytes
    project: bytes

    @property
    def blobs(self) -> dict[Digest, bytes]:
        """The documents by digest."""
        return {Digest.of(data): data for data in (self.base, self.lock, self.project)}

    def image(self) -> bytes:
        """The OCI manifest of the bundle."""
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
    """Read the OCI manifest of a bundle. Raises `SpecError` with every problem."""
    what = "the bundle's OCI manifest"
    image = read_document(BundleImage, json.parse_object(data, what), what)
    if image.config.media_type != BASE_TYPE:
        raise SpecError(f"{what} has a config that is not `{BASE_TYPE}`")
    return image


def parse_bundled_base(data: bytes) -> BundledBase:
    """Read the identity of a bundle's base. Raises `SpecError` with every problem."""
    what = "the bundle's base"
    return read_document(BundledBase, json.parse_object(data, what), what)
