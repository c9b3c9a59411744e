"""Where a command runs: folders, the registry, the clock's reading, and who is told of progress."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from skillpm.checkpoint.leaves import LeafCache, identify
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.environment.project import ProjectFolder
from skillpm.files.ownership import is_owner_only
from skillpm.index.ports import Index
from skillpm.resolver.patience import NO_DEADLINE, Deadline
from skillpm.spec.location import RegistryLocation
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.merkle import Identity
from skillpm.spec.nearness import SignatureSurvey
from skillpm.store.blobs import Store
from skillpm.store.verified import VerifiedPacks

Advance = Callable[[int], None]


class PackVerifier(Protocol):
    """Verifies packs of a lock on the project's base: `flows.verify_installed.verify_packs`."""

    def __call__(
        self,
        session: "Session",
        project: ProjectFolder,
        lock: Lockfile,
        waiting: Sequence[LockedSkill],
    ) -> tuple[str, ...]:
        """Notes on what could not be verified. Raises what refuses a pack."""
        ...


@dataclass(frozen=True)
class Session:
    """Everything that a flow takes from outside. The clock is read once, by the caller.

    `registry` and `base` win over the project file; `fallback` is the registry where it names none.
    `tidy_registry` removes what killed commands left in an embedded registry. `patience` starts
    when it is called: how long a search for a solution may take. `verify_packs` is what `install`
    verifies packs with, apart from this module because it takes the tensor libraries. `survey`
    compares the router signatures of a lock. `confirm` asks a person yes or no; None where no
    person can be asked.
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
    fallback: RegistryLocation | None = None
    tidy_registry: Callable[[RegistryLocation], None] = lambda _location: None
    patience: Callable[[], Deadline] = lambda: NO_DEADLINE
    verify_packs: "PackVerifier | None" = None
    survey: Callable[[Store, Lockfile], SignatureSurvey] = lambda _store, _lock: SignatureSurvey()
    confirm: Callable[[str], bool | None] = lambda _question: None

    @cached_property
    def store(self) -> Store:
        """The client's blobs, kept from `gc` from their first use to the end of the command."""
        return Store(self.home / "store", self.say, self.lock_timeout)

    def close(self) -> None:
        """Let go of the store, where it was used: a failed command holds nothing either."""
        if "store" in vars(self):
            self.store.close()

    @property
    def default_registry(self) -> RegistryLocation:
        """The registry of whatever is bound to no other."""
        own = RegistryLocation.of_folder(str(self.home / "registry"))
        return self.registry or self.fallback or own

    @property
    def cache(self) -> LeafCache:
        """Leaves of files that were hashed before."""
        return LeafCache(self.home / "cache" / "leaves")

    @cached_property
    def verified(self) -> VerifiedPacks:
        """The packs that this home has verified, and on which base."""
        return VerifiedPacks(self.home)

    def _trusts_leaves_of(self, model: Checkpoint) -> bool:
        files = (shard.file.path for shard in model.shards.values())
        return is_owner_only(self.cache.folder) and all(map(is_owner_only, files))

    def identify(self, model: Checkpoint, label: str, *, cached: bool = True) -> Identity:
        """A model's identity, with progress.

        With `cached`, leaves that were hashed before are believed, where their owner alone may
        write the cache and the model; else every byte is read (law 5).
        """
        total = sum(spec.nbytes for spec in model.specs.values())
        return identify(
            model,
            self.cache,
            trusted=cached and self._trusts_leaves_of(model),
            now_ns=int(self.now.timestamp() * 1e9),
            workers=self.workers,
            advance=self.progress(label, total),
        )


def open_model(path: Path) -> Checkpoint:
    """The model at a path that a person gave."""
    return open_checkpoint(path.expanduser())
