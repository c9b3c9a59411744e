"""The parts of a manifest, with the checks that concern only one part."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from skillpm.spec.dtypes import RANK_LIMIT, TensorSpec
from skillpm.spec.fields import (
    NUMBER,
    DigestField,
    Document,
    SkillNameField,
    VersionField,
    empty_dict,
    empty_list,
)
from skillpm.spec.parts import is_part_path

Change = Literal["changed", "added", "removed", "resized"]
Kind = Literal["embedding", "head", "attention", "mlp", "norm", "other"]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, NUMBER, Field(strict=False)]
NAME_LENGTH = 512
"""Characters of the name of a tensor, or of a pattern of names."""
PART_LIMIT = 1024
"""Files in the module folders of one base."""
KEY_LENGTH = 128
KEY_LIMIT = 4096
"""Config keys that an architecture may declare. The largest of transformers has about 300."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,3}", re.ASCII)


def _config_key(text: str) -> str:
    if len(text) > KEY_LENGTH or _KEY.fullmatch(text) is None:
        raise ValueError("expected a config key: identifiers joined by dots")
    return text


def _tensor_name(text: str) -> str:
    if not 0 < len(text) <= NAME_LENGTH or "\0" in text:
        raise ValueError(f"expected a name of 1 to {NAME_LENGTH} characters without NUL")
    return text


def _part_path(text: str) -> str:
    if len(text) > NAME_LENGTH or not is_part_path(text):
        raise ValueError("expected `modules.json`, or a file in a folder such as `2_Dense`")
    return text


PartPath = Annotated[str, AfterValidator(_part_path)]
ConfigKey = Annotated[str, AfterValidator(_config_key)]
TensorName = Annotated[str, AfterValidator(_tensor_name)]
Label = Annotated[str, Field(min_length=1, max_length=256)]


class BaseRef(Document):
    """The base that a pack was built for.

    `parts` lists the files of a sentence-transformers base that the root does not cover
    (`modules.json`, `2_Dense/model.safetensors`), each with the digest of its content. Left out if
    the base has none.
    """

    name: str
    root: DigestField
    architecture: str
    dtype: str
    parameters: Count
    tensors: Count
    parts: dict[PartPath, DigestField] = Field(default_factory=empty_dict, max_length=PART_LIMIT)

    @model_serializer(mode="wrap")
    def _without_empty_parts(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = plain(self)
        if not self.parts:
            document.pop("parts", None)
        return document


class Over(Document):
    """A release that the pack is layered on."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField


class Capability(Document):
    """A measured capability: the values of the tuned model and of the base."""

    name: str
    metric: str
    value: Number
    base_value: Number | None = None
    samples: Count | None = None
    probes: DigestField | None = None


class ModuleSummary(Document):
    """The compression of all tensors of one kind of module."""

    codec: str
    bytes: Count
    relative_error: Number | None


class Compression(Document):
    """How the delta was compressed.

    `payload_bytes` is the size of the payload layers, `delta_bytes` the size of the dense delta,
    and `relative_error` is ‖Δ-Δ̂‖/‖Δ‖.
    """

    scheme: str
    settings: dict[str, Any]
    payload_bytes: Count
    delta_bytes: Count
    ratio: Number
    relative_error: Number | None
    modules: dict[Kind, ModuleSummary]


NO_CODEC = "none"
"""The codec of a removed tensor."""


class FootprintEntry(Document):
    """A tensor that the pack changes.

    `leaf` is the leaf in the base (None for an added tensor), `result` the leaf after this pack
    alone (None for a removed tensor), and `layer` the digest of the payload layer with the encoded
    delta.
    """

    model_config = ConfigDict(populate_by_name=True)

    tensor: str
    change: Change
    shape: tuple[Count, ...] = Field(strict=False, max_length=RANK_LIMIT)
    dtype: str
    leaf: DigestField | None
    result: DigestField | None
    codec: str
    layer: DigestField | None
    source: str | None = Field(default=None, alias="from")

    @property
    def spec(self) -> TensorSpec:
        """Name, dtype and shape of the tensor after this pack."""
        return TensorSpec(self.tensor, self.dtype, self.shape)


class SideFile(Document):
    """A side file of the tuned model.

    A `file` is stored whole, a `patch` is a JSON merge patch (RFC 7396), and a `removed` file is
    deleted from the graft; its `digest` is that of the base's file.
    """

    path: str
    digest: DigestField
    kind: Literal["file", "patch", "removed"]


class ArchitectureFacts(Document):
    """Facts about the architecture, read from `library` when the pack was built.

    - `tied`: a tensor, mapped to the tensor whose values it shares.
    - `names`: a module or tensor of the running model, mapped to its name in older checkpoints, and
      that to a still older name. `*` matches a number. The mapping is one to one. Conversions on
      loading, such as fused experts, are not included.
    - `config_keys`: the keys of `config.json` that the config class declares; nested keys with a
      dot (`text_config.hidden_size`).
    - `library`: the library and its version. If the architecture is unknown it is null, the others
      are empty, and the pack must not change `config.json`.
    """

    tied: dict[TensorName, TensorName] = Field(max_length=KEY_LIMIT)
    names: dict[TensorName, TensorName] = Field(max_length=KEY_LIMIT)
    config_keys: list[ConfigKey] = Field(max_length=KEY_LIMIT)
    library: Label | None


class RequiredCapability(Document):
    """A capability that another installed skill must have, measured by a set of probes."""

    capability: Label
    metric: Label
    at_least: Number
    probes: DigestField


class Ancestor(Document):
    """A release that this one was derived from, and the base of that release."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    base: DigestField


class Provenance(Document):
    """The origin of the skill, as its author states it."""

    method: str | None = None
    sources: list[str] = Field(default_factory=empty_list)
    data: list[str] = Field(default_factory=empty_list)
    flops: Number | None = None
    tool: str | None = None
