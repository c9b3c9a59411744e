"""Where a command runs: folders, the registry, the clock's reading, and who is told of progress."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from skillpm.checkpoint.leaves import LeafCache, identify
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.index.ports import Index
from skillpm.resolver.patience import ENDLESS, Patience
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.merkle import Identity
from skillpm.spec.nearness import SignatureSurvey
from skillpm.store.blobs import Store

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Setting:
    """Everything that a flow takes from outside. The clock is read once, by the caller.

    `registry` and `base` win over the project file; `fallback` is the registry where it names none.
    `tidy_registry` removes what killed commands left in an embedded registry. `patience` starts
    when it is called: how long a search for a solution may take. `survey` compares the router
    signatures of a lock. `confirm` asks a person yes or no; None where no person can be asked.
    """

    home: Path
    project: Path
    registry: str | None
    base: Path | None
    offline: bool
    now: datetime
    created: datetime
    workers: int
    lock_timeout: float
    say: Callable[[str], None]
    progress: Callable[[str, int], Advance]
    connect: Callable[[str, bool], Index]
    fallback: str | None = None
    tidy_registry: Callable[[str], None] = lambda _url: None
    patience: Callable[[], Patience] = lambda: ENDLESS
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
    def default_registry(self) -> str:
        """The registry of whatever is bound to no other."""
        return self.registry or self.fallback or str(self.home / "registry")

    @property
    def cache(self) -> LeafCache:
        """Leaves of files that were hashed before."""
        return LeafCache(self.home / "cache" / "leaves")

    def identify(self, model: Checkpoint, label: str, *, cached: bool = True) -> Identity:
        """A model's identity, with progress; without the cache where every byte must be read."""
        total = sum(spec.nbytes for spec in model.specs.values())
        return identify(
            model,
            self.cache if cached else None,
            now_ns=int(self.now.timestamp() * 1e9),
            workers=self.workers,
            advance=self.progress(label, total),
        )


def open_model(path: Path) -> Checkpoint:
    """The model at a path that a person gave."""
    return open_checkpoint(path.expanduser())
