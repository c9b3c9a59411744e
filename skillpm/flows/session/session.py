"""The settings of one command: folders, the registry, the time, and how to report progress."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from skillpm.checkpoint.find_model import complete_snapshot, find_model
from skillpm.checkpoint.leaves import LeafCache, identify
from skillpm.checkpoint.model import Checkpoint, VerifiedCheckpoint, open_checkpoint
from skillpm.environment.project import ProjectFolder
from skillpm.files.ownership import is_owner_only
from skillpm.index.protocol import Account, Index, no_account
from skillpm.parallel import Advance, PlannedStage, no_plan
from skillpm.resolver.deadline import NO_DEADLINE, Deadline
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.merkle import Identity
from skillpm.spec.names import SkillName
from skillpm.spec.nearness import SignatureSurvey
from skillpm.store.blobs import Store
from skillpm.store.release_states import ReleaseStates
from skillpm.store.verified_packs import VerifiedPacks


class PackVerifier(Protocol):
    """A function that verifies packs of a lock on the project's base."""

    def __call__(
        self,
        session: "Session",
        project: ProjectFolder,
        lock: Lockfile,
        waiting: Sequence[LockedSkill],
    ) -> tuple[str, ...]:
        """Verify the `waiting` packs; the notes name those that could not be verified.

        Raises `IntegrityError` for a pack that fails.
        """
        ...


@dataclass(frozen=True)
class Session:
    """Everything that a flow takes from outside. The caller reads the clock once, into `now`.

    `registry` and `base` take precedence over the project file; `fallback` is the registry if the
    project file names none. `account` gives the user's account at a registry over HTTP.
    `quarantines` gives the quarantined releases that a registry listed when it was last asked, with
    the reasons; it asks no registry.
    `own_registries` are those that options, variables and the user's file name. `tidy_registry`
    removes what killed commands left in an embedded registry. `start_deadline` starts the time
    limit of a resolution when it is called.
    `verify_packs` verifies packs for `install`; it is injected because it imports the tensor
    libraries. `survey` compares the router signatures of a lock. `confirm` asks the user a
    yes-or-no question; it returns None if there is no terminal to ask on. `plan` names the stages
    that follow, for one progress bar over all of them.
    """

    home: Path
    project: Path
    registry: RegistryLocation | None
    base: Path | None
    offline: bool
    now: datetime
    created: datetime
    workers: int
    lock_timeout: float
    say: Callable[[str], None]
    progress: Callable[[str, int], Advance]
    connect: Callable[[RegistryLocation, bool], Index]
    account: Callable[[RegistryLocation], Account] = no_account
    quarantines: Callable[[RegistryLocation, Collection[SkillName]], Mapping[Digest, str]] = (
        lambda _location, _skills: {}
    )
    fallback: RegistryLocation | None = None
    own_registries: Sequence[RegistryLocation] = ()
    tidy_registry: Callable[[RegistryLocation], None] = lambda _location: None
    start_deadline: Callable[[], Deadline] = lambda: NO_DEADLINE
    verify_packs: "PackVerifier | None" = None
    survey: Callable[[Store, Lockfile], SignatureSurvey] = lambda _store, _lock: SignatureSurvey()
    confirm: Callable[[str], bool | None] = lambda _question: None
    plan: Callable[[Sequence[PlannedStage]], None] = no_plan

    @cached_property
    def store(self) -> Store:
        """The client's blobs. `gc` waits from the first use until the end of the command."""
        return Store(self.home / "store", self.say, self.lock_timeout)

    def close(self) -> None:
        """Release the store's lock if the store was used, also after a failed command."""
        if "store" in vars(self):
            self.store.close()

    @property
    def default_registry(self) -> RegistryLocation:
        """The registry of every skill that is not bound to another one."""
        own = RegistryLocation.of_folder(str(self.home / "registry"))
        return self.registry or self.fallback or own

    @property
    def cache(self) -> LeafCache:
        """The cache of leaves of files that were hashed before."""
        return LeafCache(self.home / "cache" / "leaves")

    @cached_property
    def verified(self) -> VerifiedPacks:
        """The packs that this home has verified, and on which base."""
        return VerifiedPacks(self.home)

    @cached_property
    def states(self) -> ReleaseStates:
        """The yanked and quarantined releases that registries last listed."""
        return ReleaseStates(self.home)

    def _trusts_leaves_of(self, model: Checkpoint) -> bool:
        files = (shard.file.path for shard in model.shards.values())
        return is_owner_only(self.cache.folder) and all(map(is_owner_only, files))

    def identify(
        self,
        model: Checkpoint,
        label: str,
        *,
        cached: bool = True,
        leaves: Mapping[str, Digest] | None = None,
    ) -> Identity:
        """A model's identity, with progress.

        With `cached`, leaves from the cache are used if only the current user can write the cache
        and the model. Otherwise every byte is read (law 5), except for tensors of which this
        command has read all bytes; `leaves` are theirs.
        """
        known = leaves or {}
        total = sum(spec.nbytes for name, spec in model.specs.items() if name not in known)
        return identify(
            model,
            self.cache,
            trusted=cached and self._trusts_leaves_of(model),
            now_ns=int(self.now.timestamp() * 1e9),
            workers=self.workers,
            advance=self.progress(label, total),
            leaves=known,
        )

    def hash_model(
        self, model: Checkpoint, label: str, *, cached: bool = True
    ) -> VerifiedCheckpoint:
        """The model, held from now on to the identity that `identify` returns."""
        return VerifiedCheckpoint.of(model, self.identify(model, label, cached=cached))

    def hash_on_first_read(self, model: Checkpoint, label: str) -> VerifiedCheckpoint:
        """The model, held to what is read first; its identity hashes only the other tensors."""

        def identify(leaves: Mapping[str, Digest]) -> Identity:
            return self.identify(model, label, cached=False, leaves=leaves)

        return VerifiedCheckpoint.first_read(model, identify)


def open_model(path: Path, say: Callable[[str], None] = lambda _text: None) -> Checkpoint:
    """Open the model that the user named: a path, or a model of the Hugging Face cache.

    `say` reports which snapshot of a cache folder is used. Raises the errors of `find_model` and
    `open_checkpoint`.
    """
    place = find_model(path, say)
    with complete_snapshot(place):
        return open_checkpoint(place)
