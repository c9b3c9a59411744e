"""Find the model that a text names: an existing path, or a model of the Hugging Face cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os.path import lexists
from pathlib import Path

from skillpm.checkpoint.hub_cache import HubSnapshot, find_snapshot, newest_snapshot
from skillpm.errors import NotFoundError, SpecError
from skillpm.files.named import expanded, missing_path_hint
from skillpm.files.shown import tidy
from skillpm.spec.hub import PREFIX, HubModel


def named_model(text: str, folder: Path) -> Path:
    """The model that a file in `folder` names, as a path for `find_model`.

    `hf:org/model@revision` is a model of the Hugging Face cache, and so is `org/model` unless that
    path exists. Other text is a path relative to `folder`, without needless parts.
    """
    path = tidy(folder / text)
    if text.startswith(PREFIX):
        return Path(text)
    return path if lexists(path) or _hub_model(text) is None else Path(PREFIX + text)


def find_model(path: Path, say: Callable[[str], None] = lambda _text: None) -> Path:
    """The folder or file of a model that the user named: a path, or `org/model[@revision]`.

    An existing path wins. For a model's folder in a Hugging Face cache, `models--org--model`, it is
    the newest snapshot, which `say` names. Raises `NotFoundError` for a model that is not in the
    cache, `SpecError` for a name that starts with `hf:` and is invalid, or a link out of the cache.
    """
    text = str(path)
    place = expanded(path)
    if text.startswith(PREFIX):
        return _checked(find_snapshot(HubModel.parse(text)))
    if not lexists(place):
        wanted = _hub_model(text)
        return place if wanted is None else _checked(_find_id(wanted, place))
    snapshot = HubSnapshot.at(place)
    if snapshot is not None:
        _checked(snapshot)
        return place
    newest = newest_snapshot(place)
    if newest is None:
        return place
    say(f"note: `{path}` is used at its newest snapshot, {newest.model.label}")
    return _checked(newest)


@contextmanager
def complete_snapshot(place: Path) -> Iterator[None]:
    """Within the block, report a file missing from a snapshot with the command to download it."""
    try:
        yield
    except NotFoundError as problem:
        snapshot = HubSnapshot.at(place)
        if snapshot is None or not place.is_dir():
            raise
        reason = problem.message.replace(f"{place}/", "").replace(f" in `{place}`", "")
        raise snapshot.incomplete(reason) from problem


def _find_id(wanted: HubModel, path: Path) -> HubSnapshot:
    """The snapshot of a model; the error for a missing one says that there is no such path."""
    try:
        return find_snapshot(wanted)
    except NotFoundError as problem:
        if wanted.revision is not None:
            raise
        hint = problem.hint or ""
        if path.parent.is_dir():
            hint = missing_path_hint(path, otherwise=hint)
        raise NotFoundError(
            f"there is no folder `{path}`, and {problem.message}", hint=hint
        ) from problem


def _checked(snapshot: HubSnapshot) -> Path:
    snapshot.check_links()
    return snapshot.folder


def _hub_model(text: str) -> HubModel | None:
    try:
        return HubModel.parse(text)
    except SpecError:
        return None
