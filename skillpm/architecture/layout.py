"""How the model in memory is laid out: its modules, its ties, and what a checkpoint calls them.

An adapter names modules as the running model has them; a checkpoint may have other names, in
another order, and may store several tensors where the model has one. The architecture's own class
knows, and is asked by `skillpm.running.layout_worker`; these are its answers.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from skillpm.spec.fields import Document, read_document

ModuleKind = Literal[
    "linear", "conv1d", "embedding", "convolution", "attention", "bypassed", "other"
]
"""What a module is for a LoRA: a `conv1d` is transformers' own, which stores [in, out], an
`attention` torch's own, and a `bypassed` layer lies in one, which reads its weight itself."""
WEIGHT = ".weight"


class ParameterTarget(Document):
    """A parameter that PEFT adapts without a module of its own (`target_parameters`).

    `factors` [experts · rank, in] and [out, rank · experts] make one update per expert;
    `swapped` says that an expert is stored as [out, in].
    """

    tensor: str
    experts: int = Field(ge=1)
    rank: int = Field(ge=1)
    scale: float
    swapped: bool


class ParameterPlace(ParameterTarget):
    """A parameter that an exported adapter targets, and the tensors that store it.

    `module` is the adapter's name for it. `parts` are the stored tensors, one list for each part
    along the rows: one tensor an expert, or one list of one tensor that is the whole parameter.
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


class ModelLayout(Document):
    """What the class of a model says of the tensors that were asked for.

    `modules` has the kind of each module; `stored` the checkpoint's name of a tensor of the model,
    where it lies or would lie; `fused` the checkpoint's tensors that make one of the model, as
    lists of experts, one list for each part along the rows. `tied` maps a tensor to the tensor that
    it shares its values with, and `untied` are the keys of `config.json` that separate them and
    change nothing else. `labels` maps a tensor to its axis that counts the labels. `parameters`
    are the targets of an adapter that are no modules, by the name that the adapter has.
    `vocabulary` maps a tensor to its axis that counts the words, and `vocabulary_keys` are the
    paths of the keys of `config.json` that do.
    """

    model_class: str
    modules: dict[str, ModuleKind]
    stored: dict[str, str]
    fused: dict[str, list[list[str]]]
    tied: dict[str, str]
    untied: dict[str, Any]
    labels: dict[str, int]
    parameters: dict[str, ParameterTarget] = Field(default_factory=dict)
    vocabulary: dict[str, int] = Field(default_factory=dict)
    vocabulary_keys: list[list[str]] = Field(default_factory=list)

    def ties_of(self, tensor: str) -> list[str]:
        """All tensors that share their values with this one, itself too, sorted."""
        source = self.tied.get(tensor, tensor)
        return sorted({source, *(name for name, other in self.tied.items() if other == source)})


def read_layout(answer: Mapping[str, Any]) -> ModelLayout:
    """The layout in a worker's answer. Raises `SpecError` for an answer of another form."""
    return read_document(ModelLayout, dict(answer), "the layout of a model")
