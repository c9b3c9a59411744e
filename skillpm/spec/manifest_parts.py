"""The parts of a manifest, each a frozen document; bounds that need no other part are theirs."""

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
)
from skillpm.spec.parts import is_part_path

Change = Literal["changed", "added", "removed", "resized"]
Kind = Literal["embedding", "head", "attention", "mlp", "norm", "other"]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, NUMBER, Field(strict=False)]
NAME_LENGTH = 512
"""Characters of a tensor's name, or of a pattern of them."""
PART_LIMIT = 1024
"""Files of the parts of one base."""
KEY_LENGTH = 128
KEY_LIMIT = 4096
"""Keys of a config that one architecture may declare; the largest of transformers has some 300."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,3}", re.ASCII)


def _config_key(text: str) -> str:
    if len(text) > KEY_LENGTH or _KEY.fullmatch(text) is None:
        raise ValueError("expected a key of a config: identifiers, joined by dots")
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
    """The base that a pack was cut from.

    `parts` are the files of its modules in folders of their own (`2_Dense/model.safetensors`, with
    `modules.json`), each with the digest of what it says: no root covers them. Left out where the
    base has none.
    """

    name: str
    root: DigestField
    architecture: str
    dtype: str
    parameters: Count
    tensors: Count
    parts: dict[PartPath, DigestField] = Field(default_factory=dict, max_length=PART_LIMIT)

    @model_serializer(mode="wrap")
    def _without_no_parts(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = plain(self)
        if not self.parts:
            document.pop("parts", None)
        return document


class Over(Document):
    """A release that the pack lies on top of."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField


class Capability(Document):
    """A measured capability: what the tuned model and the base reach."""

    name: str
    metric: str
    value: Number
    base_value: Number | None = None
    samples: Count | None = None
    probes: DigestField | None = None


class ModuleSummary(Document):
    """Compression of all tensors of one kind of module."""

    codec: str
    bytes: Count
    relative_error: Number | None


class Compression(Document):
    """How the delta was compressed: bytes of payload, dense bytes, and ‖Δ-Δ̂‖/‖Δ‖."""

    scheme: str
    settings: dict[str, Any]
    payload_bytes: Count
    delta_bytes: Count
    ratio: Number
    relative_error: Number | None
    modules: dict[Kind, ModuleSummary]


class FootprintEntry(Document):
    """One tensor that the pack touches.

    `leaf` is that of the base (None where the base lacks it), `result` the leaf after this pack
    alone (None where removed), `layer` the digest of the payload layer that holds its parts.
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
        """The tensor after this pack."""
        return TensorSpec(self.tensor, self.dtype, self.shape)


class SideFile(Document):
    """A file beside the tensors.

    A `file` is carried whole, a `patch` is a JSON merge patch (RFC 7396), and of a `removed` file
    the `digest` is that of the base's, which the graft does not have.
    """

    path: str
    digest: DigestField
    kind: Literal["file", "patch", "removed"]


class ArchitectureFacts(Document):
    """What the architecture says of itself: asked of `library` when the pack was made.

    `tied` maps a tensor to the tensor whose values it shares, `names` a module or tensor of the
    running model to its name in older checkpoints, and that to a still older one where there is
    one; a `*` stands for a number, and no two names have the same older one, so that it holds both
    ways. What is converted on loading (experts that make one tensor) is no renaming.
    `config_keys` are the keys of `config.json` that the config class declares, those of a part with
    a dot (`text_config.hidden_size`). `library` is the library and its version, null where the
    architecture is unknown: then all are empty, and no key of `config.json` may change.
    """

    tied: dict[TensorName, TensorName] = Field(max_length=KEY_LIMIT)
    names: dict[TensorName, TensorName] = Field(max_length=KEY_LIMIT)
    config_keys: list[ConfigKey] = Field(max_length=KEY_LIMIT)
    library: Label | None


class RequiredCapability(Document):
    """A capability that other installed skills must have, measured by a set of probes."""

    capability: Label
    metric: Label
    at_least: Number
    probes: DigestField


class Ancestor(Document):
    """A release that this one was made from, and the base that it was cut from."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField
    base: DigestField


class Provenance(Document):
    """Where the skill came from, as far as its author says."""

    method: str | None = None
    sources: list[str] = Field(default_factory=list)
    data: list[str] = Field(default_factory=list)
    flops: Number | None = None
    tool: str | None = None
