"""The OCI image manifest of a SkillPack (contract, section 3)."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import WHOLE, DigestField, Document, read_document
from skillpm.spec.memo import parse_once

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.skillpm.skillpack.v1+json"
CONFIG_TYPE = "application/vnd.skillpm.manifest.v1+json"
DELTA_TYPE = "application/vnd.skillpm.delta.v1+safetensors"
FILE_TYPE = "application/vnd.skillpm.file.v1"
CARD_TYPE = "text/markdown"
PROBES_TYPE = "application/vnd.skillpm.probes.v1+jsonl"
ROUTER_TYPE = "application/vnd.skillpm.router.v1+safetensors"
LAYER_TYPES = frozenset({DELTA_TYPE, FILE_TYPE, CARD_TYPE, PROBES_TYPE, ROUTER_TYPE})
SINGLE_TYPES = (CARD_TYPE, PROBES_TYPE, ROUTER_TYPE)
"""A pack has at most one layer of each of these types."""
REF_NAME = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"
Size = Annotated[int, Field(ge=0, lt=2**62)]


class Descriptor(Document):
    """An OCI descriptor: media type, digest and size of a blob."""

    model_config = ConfigDict(populate_by_name=True)

    media_type: str = Field(alias="mediaType")
    digest: DigestField
    size: Size
    annotations: dict[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Like `Document.to_dict`, without absent keys."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class PackImage(Document):
    """The OCI image manifest of a SkillPack. The digest of its bytes identifies the pack."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: Annotated[Literal[2], WHOLE] = Field(alias="schemaVersion", default=2)
    media_type: Literal["application/vnd.oci.image.manifest.v1+json"] = Field(
        alias="mediaType", default="application/vnd.oci.image.manifest.v1+json"
    )
    artifact_type: Literal["application/vnd.skillpm.skillpack.v1+json"] = Field(
        alias="artifactType", default="application/vnd.skillpm.skillpack.v1+json"
    )
    config: Descriptor
    layers: list[Descriptor]
    annotations: dict[str, str] | None = None

    def canonical(self) -> bytes:
        """The bytes that skillpm writes for this manifest."""
        return json.canonical(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @property
    def blobs(self) -> dict[Digest, int]:
        """The digest and size of every blob of the pack; the config comes first."""
        return {part.digest: part.size for part in (self.config, *self.layers)}

    def layer(self, media_type: str) -> list[Descriptor]:
        """The layers of this media type, in order."""
        return [layer for layer in self.layers if layer.media_type == media_type]


@parse_once
def parse_image(data: bytes) -> PackImage:
    """Read the OCI manifest of a pack. Raises `SpecError` with every problem and its path."""
    image = read_document(
        PackImage, json.parse_object(data, "the OCI manifest"), "the OCI manifest"
    )
    if image.config.media_type != CONFIG_TYPE:
        raise SpecError(
            f"the OCI manifest has a config of type {image.config.media_type[:128]!r}, expected "
            f"`{CONFIG_TYPE}`"
        )
    sizes: dict[Digest, int] = {}
    for position, part in enumerate((image.config, *image.layers)):
        if position and part.media_type not in LAYER_TYPES:
            raise SpecError(f"layers[{position - 1}] has the unknown type {part.media_type!r}")
        if sizes.setdefault(part.digest, part.size) != part.size:
            raise SpecError(f"blob {part.digest} is listed with different sizes")
    return image
