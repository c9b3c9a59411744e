"""Find models in the local cache of the Hugging Face hub. Never downloads.

The layout of the cache is documented by huggingface_hub ("Understand caching"):
`models--ORG--MODEL/` holds `blobs/`, `refs/` (a file with a commit for each branch or tag) and
`snapshots/COMMIT/`, whose files are links into `blobs/`. `HF_HUB_OFFLINE` changes nothing here:
revisions are always looked up as huggingface_hub does offline.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from os.path import expandvars
from pathlib import Path

from skillpm.errors import NotFoundError, SpecError
from skillpm.files.errors import MissingFileError
from skillpm.files.folder import Folder
from skillpm.files.named import expanded
from skillpm.spec.hub import SHORT, HubModel, is_commit
from skillpm.spec.nearest import most_similar

MAIN = "main"
_REF_LIMIT = 1000
_LEAST_SHORT = 4
_LISTED = 5
_COMPARED = 1000
"""Entries of a cache that are compared with a missing name."""
_REFS, _SNAPSHOTS, _BLOBS = "refs", "snapshots", "blobs"


class NotCachedError(NotFoundError):
    """A model of which the cache has no revision at all; `similar` is the name of one it has."""

    def __init__(self, wanted: HubModel, cache: Path, similar: str | None) -> None:
        meant = f"did you mean `{similar}`? " if similar else ""
        super().__init__(
            f"`{wanted.label}` is not in the Hugging Face cache `{cache}`",
            hint=f"{meant}to download it: `{wanted.download}`",
        )


class MissingRevisionError(NotFoundError):
    """A revision that the cache does not have. `newest` is the newest snapshot that it has."""

    def __init__(self, wanted: HubModel, known: Sequence[str]) -> None:
        what = wanted.commit[:SHORT] if wanted.commit else wanted.revision or MAIN
        listed = ", ".join(f"`{wanted.at(commit).label}`" for commit in known[:_LISTED])
        there = f"; it has {listed}" if known else ""
        there += ", the newest first" if len(known) > 1 else ""
        super().__init__(
            f"the Hugging Face cache has no revision `{what}` of `{wanted.name}`{there}",
            hint=f"to download it: `{wanted.download}`",
        )
        self.newest = wanted.at(known[0]) if known else None


@dataclass(frozen=True, slots=True)
class HubSnapshot:
    """A model of the cache at a whole commit, and the folder with its files."""

    model: HubModel
    folder: Path

    @classmethod
    def at(cls, path: Path) -> "HubSnapshot | None":
        """The snapshot whose folder is at a path, in any cache; None for another path."""
        place = Path(os.path.abspath(path))  # noqa: PTH100 - a snapshot is no link
        if place.parent.name != _SNAPSHOTS or not is_commit(place.name):
            return None
        model = HubModel.of_cache_folder(place.parent.parent.name)
        return None if model is None else cls(model.at(place.name), place)

    @property
    def is_in_cache(self) -> bool:
        """Whether the cache of this process has the snapshot, so that its name finds it."""
        cache = self.folder.parent.parent.parent
        return os.path.realpath(cache) == os.path.realpath(cache_folder())

    def check_links(self) -> None:
        """Raise unless every file is in the snapshot, or a link into the `blobs` of its model.

        A cache may come from another user, and a link could lead to any file (law 5). Raises
        `SpecError` for a link to another place, `NotFoundError` for a link to a missing blob.
        Costs one listing.
        """
        blobs = Path(os.path.realpath(self.folder.parent.parent)) / _BLOBS
        for folder, folders, files in os.walk(self.folder, followlinks=False):
            for path in (Path(folder, name) for name in sorted((*folders, *files))):
                if path.is_symlink():
                    self._check_link(path, blobs)

    def _check_link(self, path: Path, blobs: Path) -> None:
        target = Path(os.path.realpath(path))
        name = path.relative_to(self.folder)
        if target.parent != blobs or target.is_dir():
            raise SpecError(
                f"`{name}` of `{self.model.label}` in the Hugging Face cache is a link to "
                f"`{target}`; expected a file in `{blobs}`",
                hint=f"to replace the files of the cache: `{self.model.download} --force-download`",
            )
        if not target.exists() and not path.name.startswith("."):
            raise self.incomplete(f"`{name}` is a link to a blob that is missing")

    def incomplete(self, reason: str) -> NotFoundError:
        """The error for a snapshot without some of its files."""
        return NotFoundError(
            f"`{self.model.label}` in the Hugging Face cache is incomplete: {reason}",
            hint=f"to download the missing files: `{self.model.download}`",
        )


def cache_folder() -> Path:
    """The cache folder of huggingface_hub, from the variables that it reads.

    Source: `huggingface_hub.constants`. An empty variable counts as unset.
    """
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if not named:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        named = f"{os.environ.get('HF_HOME') or f'{caches}/huggingface'}/hub"
    return Path(expandvars(expanded(named)))


def _cached_names(cache: Path) -> list[str]:
    """The names of models in a cache, of its first entries."""
    try:
        folders = [entry.name for entry in islice(cache.iterdir(), _COMPARED)]
    except OSError:
        return []
    models = map(HubModel.of_cache_folder, folders)
    return [model.name for model in models if model is not None]


def find_snapshot(wanted: HubModel) -> HubSnapshot:
    """The snapshot of a model at its revision, by default `main`.

    A revision is a branch, a tag, a commit, or the first characters of a commit. Reads one file of
    `refs` and the names in `snapshots`. Raises `NotFoundError`, whose hint is the command that
    downloads the model, if the cache does not have it.
    """
    place = cache_folder() / wanted.cache_folder
    try:
        with Folder.open(place) as folder:
            known = _snapshots(folder)
            commit = wanted.commit or _commit_of(folder, wanted, known)
    except MissingFileError as problem:
        cache = cache_folder()
        similar = most_similar(wanted.name, _cached_names(cache))
        raise NotCachedError(wanted, cache, similar) from problem
    if commit not in known:
        raise MissingRevisionError(wanted, known)
    return HubSnapshot(wanted.at(commit), place / _SNAPSHOTS / commit)


def newest_snapshot(folder: Path) -> HubSnapshot | None:
    """The snapshot that was written last in a folder `models--org--model`, in any cache.

    Returns None if the folder is not one of a hub's cache. Raises `NotFoundError` without a
    snapshot.
    """
    model = HubModel.of_cache_folder(Path(os.path.abspath(folder)).name)  # noqa: PTH100 - keeps links
    if model is None or not (folder / _SNAPSHOTS).is_dir():
        return None
    with Folder.open(folder) as opened:
        known = _snapshots(opened)
    if not known:
        raise NotFoundError(
            f"`{folder}` has no snapshot of `{model.name}`",
            hint=f"to download the model: `{model.download}`",
        )
    return HubSnapshot(model.at(known[0]), folder / _SNAPSHOTS / known[0])


def _snapshots(model: Folder) -> list[str]:
    """The commits of a model's snapshots, the newest first. Links are no snapshots."""
    try:
        with model.subfolder(_SNAPSHOTS) as folder:
            times = {
                name: status.st_mtime_ns
                for name, status in folder.statuses()
                if is_commit(name) and stat.S_ISDIR(status.st_mode)
            }
    except MissingFileError:
        return []
    return sorted(times, key=lambda name: (-times[name], name))


def _commit_of(model: Folder, wanted: HubModel, known: list[str]) -> str:
    """The commit of a branch, a tag or a short commit."""
    revision = wanted.revision or MAIN
    data = _read_ref(model, revision)
    if data is not None:
        commit = data.decode("ascii", errors="replace").strip()
        if not is_commit(commit):
            raise SpecError(
                f"the branch or tag `{revision}` of `{wanted.name}` in the Hugging Face cache "
                "should be a file with a commit, but is not",
                hint=f"to write it again: `{wanted.download}`",
            )
        return commit
    short = len(revision) >= _LEAST_SHORT
    matching = [commit for commit in known if short and commit.startswith(revision)]
    if len(matching) > 1:
        raise SpecError(
            f"`{revision}` is the start of {len(matching)} commits of `{wanted.name}`",
            hint=f"use more characters: `{wanted.at(matching[0]).reference}`",
        )
    if not matching:
        raise MissingRevisionError(wanted, known)
    return matching[0]


def _read_ref(model: Folder, revision: str) -> bytes | None:
    """The content of a file of `refs`; None if there is none."""
    first, *steps = (_REFS, *revision.split("/"))
    try:
        folder = model.subfolder(first)
        for step in steps[:-1]:
            with folder:
                folder = folder.subfolder(step)
        with folder:
            return folder.find(steps[-1], limit=_REF_LIMIT)
    except MissingFileError:
        return None
