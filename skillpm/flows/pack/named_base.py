"""The base that an adapter names: compared by content where it is here, else said to be open."""

from pathlib import Path

from skillpm.adapters.adapter import Adapter
from skillpm.checkpoint.hub_cache import cached_snapshot
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.delta.encode.lora_source import Adapted
from skillpm.errors import IntegrityError, NotFoundError, SpecError
from skillpm.flows.pack.manifest import Reference
from skillpm.flows.session.session import Session


def check_named_base(
    session: Session, adapter: Adapter, reference: Reference, adapted: Adapted
) -> str | None:
    """The name of the adapter's base; where that model is here, it must be this one by content.

    A hub's name is looked up in the local cache. A path of this machine is cut down to its last
    part: a manifest is for others. Raises `IntegrityError` for another base.
    """
    name = adapter.config.base_model_name_or_path
    if not name:
        session.say(
            "note: the adapter names no base: that it was trained on this one is not checked"
        )
        return None
    path = Path(name).expanduser()
    model = _model_at(path) or _cached(name, adapter.config.revision)
    if model is None:
        session.say(
            f"note: the adapter names the base `{name}`, which is not on this machine: that "
            f"`{reference.base.path}` is the same model is not checked"
        )
        return path.name if path.is_absolute() or name.startswith((".", "~")) else name
    _check_same(session, adapter, reference, adapted, model)
    return name if model.path != path else path.name


def _check_same(
    session: Session, adapter: Adapter, reference: Reference, adapted: Adapted, model: Checkpoint
) -> None:
    found = session.identify(model, "hashing the adapter's base", cached=False)
    if found.root == reference.identity.root:
        return
    touched = [name for name in adapted.touched if name in reference.identity.leaves]
    near = all(found.leaves.get(t) == reference.identity.leaves[t] for t in touched)
    raise IntegrityError(
        f"`{adapter.path}` was trained on `{model.path}`, which is `{found.root}`, but "
        f"`{reference.base.path}` is `{reference.identity.root}`"
        + ("; but all tensors that the adapter touches are the same" if near else ""),
        hint=f"`skillpm pack {model.path} {adapter.path} …` packs it against the base it names",
    )


def _cached(name: str, revision: str | None) -> Checkpoint | None:
    folder = cached_snapshot(name, revision)
    return None if folder is None else _model_at(folder)


def _model_at(path: Path) -> Checkpoint | None:
    """The model at a path, if there is one; a hub's name is none, nor is another folder."""
    try:
        return open_checkpoint(path)
    except (NotFoundError, SpecError):
        return None
