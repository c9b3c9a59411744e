"""Handle tied tensors if an adapter changes one of them.

PEFT adapts each module separately: a LoRA on the input embedding does not change the head that is
tied to it. So a checkpoint of the result must store both tensors.
"""

from collections.abc import MutableMapping

from skillpm.adapters.names import BaseNames
from skillpm.adapters.vocabulary import SAVE_WHOLE
from skillpm.delta.encoding.lora_source import PendingUpdate, SourceTensor
from skillpm.errors import GraftError

Dense = MutableMapping[str, SourceTensor]
Updates = MutableMapping[str, PendingUpdate]


def separate_ties(
    names: BaseNames, dense: Dense, updates: Updates, *, follow: bool
) -> dict[str, str]:
    """Separate tied tensors whose values differ after the adapter is applied.

    `dense` and `updates` are by the base's names and are changed in place. With `follow`, all
    tensors of a group get the change of its stored tensor. Returns the separated tensors, each with
    the tensor that it was tied to.
    """
    separated: dict[str, str] = {}
    for group in names.tied_groups().values():
        separated |= _separate(names, group, dense, updates, follow=follow)
    if separated and names.untied:
        for group in names.tied_groups().values():
            _store_all(names, group, dense)
    return separated


def _separate(
    names: BaseNames, group: list[str], dense: Dense, updates: Updates, *, follow: bool
) -> dict[str, str]:
    anchor = names.anchor(group[0])
    stored = list(dict.fromkeys(names.base_name(target) for target in group))
    touched = [name for name in stored if name in dense or name in updates]
    if anchor is None or not touched:
        return {}
    if follow:
        _follow(names, stored, anchor, dense, updates)
        return {}
    original = _before_training(names, stored, anchor, dense)
    resized = original.source is not names.base
    for name in stored if resized else ():
        dense.setdefault(name, original)
    if _all_equal(names, stored, anchor, dense, updates):
        _drop_copies(names, stored, anchor, dense)
        return {}
    for name in stored:
        moved = anchor in dense or anchor in updates
        if moved and name not in dense and name not in names.base.specs:
            dense[name] = original
    separate = dense.keys() | updates.keys() | names.base.specs.keys()
    return {name: anchor for name in stored if name != anchor and name in separate}


def _before_training(
    names: BaseNames, stored: list[str], anchor: str, dense: Dense
) -> SourceTensor:
    """The value of the tied tensors before training, resized if one of them is.

    PEFT saves only the tensors that it adapts. Raises `GraftError` if the adapter resizes and
    trains one of the tied tensors, so that the new rows of the others are in no file.
    """
    base = SourceTensor(names.base, anchor)
    wrapped = [name for name in stored if name in dense]
    resized = [name for name in wrapped if dense[name].spec.shape != base.spec.shape]
    if not resized:
        return base
    missing = [name for name in stored if name not in dense]
    untrained = [name for name in resized if dense[name].starts_like(base)]
    if missing and not untrained:
        raise GraftError(
            f"the adapter resizes and trains `{resized[0]}`, which the base ties to "
            f"`{missing[0]}`: PEFT did not save the new rows of `{missing[0]}`",
            hint=SAVE_WHOLE,
        )
    return dense[(untrained or resized)[0]]


def _follow(
    names: BaseNames, stored: list[str], anchor: str, dense: Dense, updates: Updates
) -> None:
    """Give all stored tensors of a group the change of the anchor; others need no entry."""
    for name in stored:
        if name == anchor:
            continue
        updates.pop(name, None)
        dense.pop(name, None)
        if name in names.base.specs:
            dense.update({name: dense[anchor]} if anchor in dense else {})
            updates.update({name: updates[anchor]} if anchor in updates else {})


def _all_equal(
    names: BaseNames, stored: list[str], anchor: str, dense: Dense, updates: Updates
) -> bool:
    """Whether all tensors of a group have equal values, so that they stay tied."""
    if any(name in updates for name in stored):
        return False

    def value(name: str) -> SourceTensor:
        known = name if name in names.base.specs else anchor
        return dense.get(name) or SourceTensor(names.base, known)

    return all(value(name).is_like(value(anchor)) for name in stored if name != anchor)


def _drop_copies(names: BaseNames, stored: list[str], anchor: str, dense: Dense) -> None:
    """Remove the tensors that the base does not store either: they stay tied to the anchor."""
    for name in stored:
        if name != anchor and name not in names.base.specs:
            dense.pop(name, None)


def _store_all(names: BaseNames, group: list[str], dense: Dense) -> None:
    """Add the tensors that a model with an untied config requires and the base does not store."""
    anchor = names.anchor(group[0])
    for target in group if anchor is not None else ():
        name = names.base_name(target)
        if name not in names.base.specs and name not in dense:
            dense[name] = SourceTensor(names.base, anchor or name)
