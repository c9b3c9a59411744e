"""The layout of a model in memory: its modules, its ties, and the checkpoint's names for them.

An adapter names modules as they are in the running model. A checkpoint may have other names, and
may store several tensors where the model has one. `skillpm.running.layout_worker` reads the layout
from the model class; this module has the types of its answer.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from skillpm.spec.fields import (
    Document,
    empty_dict,
    empty_list,
    read_document,
)

ModuleKind = Literal[
    "linear", "conv1d", "embedding", "convolution", "attention", "bypassed", "other"
]
"""The kind of a module for a LoRA.

`conv1d` is the `Conv1D` of transformers, which stores [in, out]. `attention` is torch's
`MultiheadAttention`. A `bypassed` layer is inside such an attention, which reads the layer's weight
without calling the layer.
"""
WEIGHT = ".weight"


class ParameterTarget(Document):
    """A parameter that PEFT adapts directly, not through a module (`target_parameters`).

    Factors A [experts · rank, in] and B [out, rank · experts] give one update per expert. If
    `swapped`, an expert is stored as [out, in].
    """

    tensor: str
    experts: int = Field(ge=1)
    rank: int = Field(ge=1)
    scale: float
    swapped: bool


class ParameterPlace(ParameterTarget):
    """A parameter that an exported adapter targets, and the tensors that store it.

    `module` is the adapter's name for the parameter. `parts` has one list of stored tensors for
    each part along the rows, with one tensor per expert; or one list with a single tensor, which is
    the whole parameter.
    """

    module: str
    parts: list[list[str]]

    @property
    def stored(self) -> list[str]:
        """All stored tensors."""
        return [name for part in self.parts for name in part]

    @property
    def is_whole(self) -> bool:
        """Whether one tensor stores all experts."""
        return len(self.stored) == 1

    @property
    def is_stacked(self) -> bool:
        """Whether one tensor stores several experts, so that it has no factors of its own."""
        return self.is_whole and self.experts > 1


class ModelLayout(Document):
    """The answer of a model class about the requested tensors.

    `modules` has the kind of each module. `stored` maps a tensor of the model to its name in a
    checkpoint. `fused` maps a tensor of the model to the tensors of the checkpoint that make it up:
    one list for each part along the rows, with one tensor per expert. `tied` maps a tensor to the
    tensor whose values it shares, and `untied` are the keys of `config.json` that separate them and
    change nothing else. `labels` and `vocabulary` map a tensor to its axis over the labels or over
    the vocabulary, and `vocabulary_keys` are the paths of the keys of `config.json` with its size.
    `parameters` has the adapter's targets that are not modules, by their names in the adapter.
    """

    model_class: str
    modules: dict[str, ModuleKind]
    stored: dict[str, str]
    fused: dict[str, list[list[str]]]
    tied: dict[str, str]
    untied: dict[str, Any]
    labels: dict[str, int]
    parameters: dict[str, ParameterTarget] = Field(default_factory=empty_dict)
    vocabulary: dict[str, int] = Field(default_factory=empty_dict)
    vocabulary_keys: list[list[str]] = Field(default_factory=empty_list)


def read_layout(answer: Mapping[str, Any]) -> ModelLayout:
    """Parse the answer of a worker. Raises `SpecError` if it is invalid."""
    return read_document(ModelLayout, dict(answer), "the layout of a model")
