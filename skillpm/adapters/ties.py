"""Tensors that share their values, under an adapter that changes one of them.

PEFT wraps each module apart: a LoRA on the input embedding leaves the head that is tied to it as it
was. A checkpoint says so by storing both.
"""

from collections.abc import MutableMapping

from skillpm.adapters.names import BaseNames
from skillpm.adapters.vocabulary import SAVE_WHOLE
from skillpm.delta.encode.lora_source import PendingUpdate, SourceTensor
from skillpm.errors import GraftError

Dense = MutableMapping[str, SourceTensor]
Updates = MutableMapping[str, PendingUpdate]


def separate_ties(
    names: BaseNames, dense: Dense, updates: Updates, *, follow: bool
) -> dict[str, str]:
    """Give each tied tensor a tensor of its own where the adapter gives it other values.

    `dense` and `updates` are by the base's names and are changed in place. With `follow` all of a
    group follow its first. Returns what was separated: the name, and what it was tied to.
    """
    separated: dict[str, str] = {}
    for group in names.groups().values():
        separated |= _separate(names, group, dense, updates, follow=follow)
    if separated and names.untied:
        for group in names.groups().values():
            _store_all(names, group, dense)
    return separated


def _separate(
    names: BaseNames, group: list[str], dense: Dense, updates: Updates, *, follow: bool
) -> dict[str, str]:
    anchor = names.anchor(group[0])
    stored = list(dict.fromkeys(names.of(target) for target in group))
    touched = [name for name in stored if name in dense or name in updates]
    if anchor is None or not touched:
        return {}
    if follow:
        _follow(names, stored, anchor, dense, updates)
        return {}
    kept = _kept(names, stored, anchor, dense)
    resized = kept.source is not names.base
    for name in stored if resized else ():
        dense.setdefault(name, kept)
    if _all_alike(names, stored, anchor, dense, updates):
        _join(names, stored, anchor, dense)
        return {}
    for name in stored:
        moved = anchor in dense or anchor in updates
        if moved and name not in dense and name not in names.base.specs:
            dense[name] = kept
    apart = dense.keys() | updates.keys() | names.base.specs.keys()
    return {name: anchor for name in stored if name != anchor and name in apart}


def _kept(names: BaseNames, stored: list[str], anchor: str, dense: Dense) -> SourceTensor:
    """What the tied tensors were before training, resized where one of them is.

    PEFT saves the rows of those that it wraps alone. Raises `GraftError` where the adapter resizes
    one, trains it whole, and another one's new rows are nowhere.
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
            f"`{missing[0]}`: PEFT left that as it was, and its new rows are in no file",
            hint=SAVE_WHOLE,
        )
    return dense[(untrained or resized)[0]]


def _follow(
    names: BaseNames, stored: list[str], anchor: str, dense: Dense, updates: Updates
) -> None:
    """All tensors get what the stored one gets: those that are not stored need nothing."""
    for name in stored:
        if name == anchor:
            continue
        updates.pop(name, None)
        dense.pop(name, None)
        if name in names.base.specs:
            dense.update({name: dense[anchor]} if anchor in dense else {})
            updates.update({name: updates[anchor]} if anchor in updates else {})


def _all_alike(
    names: BaseNames, stored: list[str], anchor: str, dense: Dense, updates: Updates
) -> bool:
    """Whether all tensors of a group have the same values, so that they stay tied."""
    if any(name in updates for name in stored):
        return False

    def value(name: str) -> SourceTensor:
        known = name if name in names.base.specs else anchor
        return dense.get(name) or SourceTensor(names.base, known)

    return all(value(name).is_like(value(anchor)) for name in stored if name != anchor)


def _join(names: BaseNames, stored: list[str], anchor: str, dense: Dense) -> None:
    for name in stored:
        if name != anchor and name not in names.base.specs:
            dense.pop(name, None)


def _store_all(names: BaseNames, group: list[str], dense: Dense) -> None:
    """Store what a config without ties would have the model miss."""
    anchor = names.anchor(group[0])
    for target in group if anchor is not None else ():
        name = names.of(target)
        if name not in names.base.specs and name not in dense:
            dense[name] = SourceTensor(names.base, anchor or name)
