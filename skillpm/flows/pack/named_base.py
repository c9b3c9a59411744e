"""Compare the base that an adapter names with the base of `pack`, if it is on this machine."""

from pathlib import Path

from skillpm.adapters.adapter import Adapter
from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.hub_cache import find_snapshot
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.delta.encoding.lora_source import Adapted
from skillpm.errors import IntegrityError, NotFoundError, SpecError, StateError
from skillpm.files.named import expanded
from skillpm.flows.pack.reference import Reference
from skillpm.flows.session.session import Session
from skillpm.spec.hub import PREFIX, HubModel


def check_named_base(
    session: Session, adapter: Adapter, reference: Reference, adapted: Adapted
) -> str | None:
    """Return the name of the adapter's base, for the manifest, and check that it is this base.

    If the model is not on this machine, a note says that it is not checked. Raises `IntegrityError`
    if it is another model.
    """
    name, model = find_named_base(session, adapter, reference)
    if model is not None:
        _check_same(session, adapter, reference, adapted, model)
    return name


def find_named_base(
    session: Session, adapter: Adapter, reference: Reference
) -> tuple[str | None, Checkpoint | None]:
    """The name of the adapter's base, and the model; None for what is not known.

    The name is a path or the name of a Hugging Face model, which is looked up in the local cache
    only. A path is shortened to its last part, because a manifest is read on other machines.
    """
    name = adapter.config.base_model_name_or_path
    if not name:
        session.say(
            "note: the adapter names no base model, so skillpm cannot check that it was trained "
            "on this base"
        )
        return None, None
    path = expanded(name)
    model = _model_at(path) or _cached(name, adapter.config.revision)
    if model is None:
        session.say(
            f"note: the adapter names the base `{name}`, which is not on this machine, so skillpm "
            f"cannot check that `{reference.base.label}` is the same model"
        )
        is_path = path.is_absolute() or name.startswith((".", "~"))
        return path.name if is_path else name, None
    return name if model.path != path else path.name, model


def _check_same(
    session: Session, adapter: Adapter, reference: Reference, adapted: Adapted, model: Checkpoint
) -> None:
    same_files = has_same_files(model, reference.base)
    if same_files and not reference.layered_on:
        return
    if same_files:
        named = reference.base.identity
    else:
        named = session.identify(model, "hashing the adapter's base", cached=False)
    if named.root == reference.identity.root:
        return
    changed = [name for name in adapted.touched if name in reference.identity.leaves]
    near = all(named.leaves.get(t) == reference.identity.leaves[t] for t in changed)
    raise IntegrityError(
        f"`{adapter.path}` was trained on `{model.label}`, which is `{named.root}`, but "
        f"`{reference.base.label}` is `{reference.identity.root}`"
        + ("; all tensors that the adapter changes are the same in both" if near else ""),
        hint=f"use the base that the adapter names: `skillpm pack {model.label} {adapter.path} …`",
    )


def has_same_files(model: Checkpoint, other: Checkpoint) -> bool:
    """Whether two models are read from the same files, so that hashing one hashes both."""
    return _files(model) == _files(other)


def _files(model: Checkpoint) -> list[FileKey]:
    """The files of a model. The same files were hashed before, in this command."""
    return sorted(shard.file.key() for shard in model.shards.values())


def _cached(name: str, revision: str | None) -> Checkpoint | None:
    """The base of an adapter in the Hugging Face cache; None if it is not there whole."""
    try:
        wanted = HubModel.parse(f"{PREFIX}{name}@{revision}" if revision else f"{PREFIX}{name}")
        snapshot = find_snapshot(wanted)
        snapshot.check_links()
    except (NotFoundError, SpecError, StateError):
        return None
    return _model_at(snapshot.folder)


def _model_at(path: Path) -> Checkpoint | None:
    """The model at a path; None if there is no model."""
    try:
        return open_checkpoint(path)
    except (NotFoundError, SpecError):
        return None
