"""A stage: one running base that takes one set of a lock after another (ADR 13)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.leaves import no_advance
from skillpm.checkpoint.model import CONFIG, Checkpoint
from skillpm.delta.apply.compose import Composition
from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError
from skillpm.flows.graft.assemble import Assembly, assemble
from skillpm.flows.graft.graft import check_root, compose
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.composition import Hashed, check_composed, total_bytes
from skillpm.flows.packs.config_diff import changed_settings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.side_files import INERT, apply_side_files, files_of, tokenizes
from skillpm.flows.session.base_model import check_base, check_unmoved, file_keys, open_base
from skillpm.flows.session.session import Session
from skillpm.probing.stand import ModelHost
from skillpm.running.folder import NotRunnableError
from skillpm.running.foreign import ForeignModelFiles
from skillpm.running.runner import Runner
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.merkle import Identity, merkle_root
from skillpm.store.scratch import disk_errors, scratch

_PAD = "pad_token_id"


@dataclass
class CandidateEnvironment:
    """The project's base, running, and whatever set was put on it last.

    The base is loaded once; a set with tensors of another shape, a config that computes otherwise
    or files of its own is written to a scratch folder and loaded whole. The config and tokenizer
    of packs are read in a sandbox.
    """

    session: Session
    base: Checkpoint
    identity: Identity
    device: str
    keys: Mapping[str, FileKey]
    _stand: ModelHost | None = None
    _other: tuple[str, Runner] | None = field(default=None, repr=False)
    _foreign: ForeignModelFiles = field(default_factory=ForeignModelFiles, repr=False)

    @property
    def stand(self) -> ModelHost:
        """The running base, loaded when it is first needed."""
        if self._stand is None:
            runner = running(self.base, self.device)
            check_unmoved(self.base, self.keys)
            self._stand = ModelHost(runner, self.base)
        return self._stand

    def check_runs(self) -> None:
        """Raise `GraftError` where the base itself cannot be run: then no pack is to blame."""
        assert self.stand is not None  # noqa: S101 - a property that loads

    def runner(self, lock: Lockfile) -> Runner:
        """The model that a lock's set makes of the base, decoded as `graft` decodes it.

        Good until the next set is asked for. Raises what `graft` raises.
        """
        composition, packs = compose(self.session, self.base, self.identity, lock)
        side = apply_side_files(files_of(self.base), side_packs(packs))
        touched = composition.touched.keys()
        if self._is_silent(side) and self.stand.fits(composition, touched):
            hashed = self._hashed(composition)
            shown = self.stand.show(hashed, touched)
            self._check(lock, composition, hashed)
            return shown
        assembly = Assembly(self.base, self.identity, composition, side, link=False, stamp={})
        return self._whole(lock, assembly)

    def check(self, lock: Lockfile) -> None:
        """Raise what `graft` raises of a lock, which is decoded and not run.

        Of a routed lock each skill is decoded with what it requires, as `graft --only` does.
        """
        parts = [prune(lock, [one]) for one in lock.skills] if lock.graft.routed else [lock]
        for part in parts:
            composition, _ = compose(self.session, self.base, self.identity, part)
            self._check(part, composition, self._hashed(composition))

    def _is_silent(self, side: Mapping[str, bytes | None]) -> bool:
        """Whether the running base answers as one that is loaded with these files."""
        if tokenizes(side):
            return False
        config = side.get(CONFIG)
        if config is None:
            return True
        old = files_of(self.base)(CONFIG)
        changed = changed_settings(self._foreign, old, config, ignored=INERT)
        return not changed or (changed == {_PAD} and not self.stand.runner.uses_pad_token)

    def _hashed(self, composition: Composition) -> Hashed:
        total = total_bytes(composition)
        advance = self.session.progress("composing", total) if total else no_advance
        return Hashed(composition, advance)

    def _check(self, lock: Lockfile, composition: Composition, hashed: Hashed) -> None:
        leaves = hashed.leaves(self.identity)
        check_composed(composition, self.identity, leaves)
        check_root(lock, merkle_root(leaves))

    def _whole(self, lock: Lockfile, assembly: Assembly) -> Runner:
        key = lock.with_root(None).dumps()
        if self._other is None or self._other[0] != key:
            self._other = None
            with scratch(self.session.home, "stage") as folder, disk_errors(folder):
                (folder / "graft").mkdir()
                written = assemble(self.session, assembly, folder / "graft")
                check_root(lock, written.root)
                foreign = self._foreign if assembly.side else None
                self._other = (key, self._loaded(lock, folder / "graft", foreign))
        return self._other[1]

    def _loaded(self, lock: Lockfile, folder: Path, foreign: ForeignModelFiles | None) -> Runner:
        try:
            return Runner.load(folder, self.device, foreign)
        except NotRunnableError as problem:
            names = ", ".join(f"`{one.ref}`" for one in lock.skills.values())
            raise GraftError(
                f"base + {names} cannot be run by transformers: {problem.reason}",
                hint="leave out the skill that brings a config or tokenizer of its own",
            ) from problem


def open_candidate(session: Session, project: ProjectFolder, device: str) -> CandidateEnvironment:
    """The stage of a project. Raises `IntegrityError` where the base is not the project's."""
    base = open_base(session, project)
    keys = file_keys(base)
    identity = session.identify(base, "hashing base")
    check_base(identity.root, project.read_file().root, base.path)
    base.expected = identity.leaves
    return CandidateEnvironment(session, base, identity, device, keys)


def running(model: Checkpoint, device: str) -> Runner:
    """A model folder, loaded. Raises `GraftError` where it cannot be run."""
    if model.folder is None:
        raise GraftError(
            f"`{model.path}` is a file of tensors alone, which cannot be run",
            hint="probes need the model's folder: config.json and the tokenizer beside the weights",
        )
    with told_for_probes():
        return Runner.load(model.folder, device)


@contextmanager
def told_for_probes() -> Iterator[None]:
    """A model that cannot be run is told in the words of probes."""
    try:
        yield
    except NotRunnableError as problem:
        raise GraftError(
            problem.message,
            hint="probes need config.json and the tokenizer beside the base's weights",
        ) from problem
