"""Resize the other tensors over the vocabulary if an adapter resizes the embeddings.

PEFT saves the embeddings of a resized model, but not the other tensors whose size is that of the
vocabulary, such as a bias of the head or `final_logits_bias`. transformers fills their new elements
with zeros.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from skillpm.adapters.names import BaseNames
from skillpm.delta.encoding.lora_source import SourceTensor
from skillpm.delta.tensors.ports import CHUNK
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.words import counted

SAVE_WHOLE = (
    "save the adapter again while the trained model is in memory: "
    "`model.save_pretrained(DIR, save_embedding_layers=True)`; or train both with "
    "`modules_to_save`; or merge the adapter, untie the model, and pack the merged folder"
)


@dataclass(frozen=True)
class Resized:
    """A tensor with one axis longer than 1, truncated or padded with zeros to `count` elements."""

    stored: SourceTensor
    axis: int
    count: int

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """The spec of the tensor."""
        spec = self.stored.spec
        shape = (*spec.shape[: self.axis], self.count, *spec.shape[self.axis + 1 :])
        return {spec.name: replace(spec, shape=shape)}

    def chunks(self, name: str) -> Iterator[bytes]:
        """The tensor's bytes in pieces of `CHUNK` words. Keeps the whole tensor in memory."""
        spec = self.specs[name]
        data = self.stored.read()[: spec.nbytes].ljust(spec.nbytes, b"\0")
        step = CHUNK * spec.itemsize
        yield from (data[start : start + step] for start in range(0, len(data), step))


def resized_count(
    names: BaseNames, dense: Mapping[str, SourceTensor], axes: Mapping[str, int]
) -> int | None:
    """The size of the vocabulary with the adapter; None if the adapter does not resize it.

    `axes` maps a tensor of the running model to its axis over the vocabulary. Raises `GraftError`
    if the adapter's tensors have different sizes.
    """
    counts: dict[int, str] = {}
    for target, axis in axes.items():
        stored, anchor = (
            dense.get(names.base_name(target)),
            names.anchor(target) or names.base_name(target),
        )
        before = names.base.specs.get(anchor)
        if stored is None or before is None or len(before.shape) != len(stored.spec.shape):
            continue
        if stored.spec.shape[axis] != before.shape[axis]:
            counts.setdefault(stored.spec.shape[axis], stored.name)
    if len(counts) > 1:
        shown = ", ".join(f"{count} in {name!r}" for count, name in counts.items())
        raise GraftError(f"the adapter resizes the vocabulary to several sizes: {shown}")
    return next(iter(counts), None)


def complete_vocabulary(
    names: BaseNames, dense: MutableMapping[str, SourceTensor], axes: Mapping[str, int], count: int
) -> None:
    """Resize the tensors over the vocabulary that the adapter lacks. Call after separating ties.

    Raises `GraftError` for a matrix: its new rows are in no file.
    """
    for target, axis in axes.items():
        name = names.base_name(target)
        if name not in dense and name not in names.base.specs:
            continue
        stored = dense.get(name) or SourceTensor(names.base, name)
        spec = stored.spec
        if spec.shape[axis] == count:
            continue
        if spec.elements != spec.shape[axis]:
            raise GraftError(
                f"the adapter resizes the vocabulary to {counted(count, 'token')}, but `{name}` "
                f"has {counted(spec.shape[axis], 'row')}, and PEFT did not save the others",
                hint=SAVE_WHOLE,
            )
        dense[name] = SourceTensor(Resized(stored, axis, count), spec.name)


def vocabulary_keys(paths: list[list[str]], count: int) -> dict[str, Any]:
    """The keys of `config.json` at these paths, set to the count."""
    keys: dict[str, Any] = {}
    for path in paths:
        table = keys
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = count
    return keys
