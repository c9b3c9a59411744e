"""Tensors that share their values, under an adapter that changes one of them.

PEFT wraps each module apart: a LoRA on the input embedding leaves the head that is tied to it as it
was. A checkpoint says so by storing both.
"""

from collections.abc import Collection, MutableMapping

from skillpm.adapters.names import BaseNames
from skillpm.delta.adapted import Pending, Stored
from skillpm.errors import GraftError

Dense = MutableMapping[str, Stored]
Updates = MutableMapping[str, Pending]


def separate_ties(
    names: BaseNames,
    dense: Dense,
    updates: Updates,
    *,
    follow: bool,
    saved: Collection[str] = (),
) -> dict[str, str]:
    """Give each tied tensor a tensor of its own where the adapter gives it other values.

    `dense` and `updates` are by the base's names and are changed in place. With `follow` all of a
    group follow its first; `saved` are the modules of which PEFT trained a copy of their own.
    Returns what was separated: the name, and what it was tied to. Raises `GraftError` where the
    adapter resizes a tensor so that the rows of another one are in no file.
    """
    separated: dict[str, str] = {}
    for group in names.groups().values():
        if not follow:
            _resize(names, group, dense, saved)
        separated |= _separate(names, group, dense, updates, follow=follow)
    if separated and names.layout is not None and names.layout.untied:
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
    if _all_alike(names, stored, anchor, dense, updates):
        _join(names, stored, anchor, dense)
        return {}
    kept = Stored(names.base, anchor)
    for name in stored:
        moved = anchor in dense or anchor in updates
        if moved and name not in dense and name not in names.base.specs:
            dense[name] = kept
    apart = dense.keys() | updates.keys() | names.base.specs.keys()
    return {name: anchor for name in stored if name != anchor and name in apart}


def _resize(names: BaseNames, group: list[str], dense: Dense, saved: Collection[str]) -> None:
    """Give all tensors of a group the rows that its stored one got, where the adapter has no more.

    PEFT saves the embeddings of a model whose vocabulary grew before it was wrapped, once: all of
    the group have these. A copy that it trained is the one module's alone: the others keep the
    rows that they were made with, which only the training knew.
    """
    anchor = names.anchor(group[0])
    if anchor is None:
        return
    before = names.base.specs[anchor].shape
    grown = {
        target: dense[names.of(target)]
        for target in group
        if names.of(target) in dense and dense[names.of(target)].spec.shape != before
    }
    shared = [stored for target, stored in grown.items() if not _is_saved(target, saved)]
    for target in group if grown else ():
        name = names.of(target)
        if name in dense and target in grown:
            continue
        if not shared:
            trained, stored = next(iter(grown.items()))
            raise GraftError(
                f"the adapter holds `{trained}` with {stored.spec.shape[0]} rows, a copy that was "
                f"trained apart, and not `{target}`, which the base ties to it: the new rows of "
                "that one are in no file",
                hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`, and pack "
                "DIR; or train with `ensure_weight_tying=True`",
            )
        dense[name] = shared[0]


def _is_saved(target: str, saved: Collection[str]) -> bool:
    """Whether a tensor is of a module of `modules_to_save`, which PEFT matches by its ending."""
    return any(target.rpartition(".")[0].endswith(module) for module in saved)


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

    def value(name: str) -> Stored:
        known = name if name in names.base.specs else anchor
        return dense.get(name) or Stored(names.base, known)

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
            dense[name] = Stored(names.base, anchor or name)
