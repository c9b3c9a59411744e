"""The candidate environment: a loaded base that runs one candidate set after another (ADR 13)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skillpm.checkpoint.files import FileKey
from skillpm.checkpoint.model import CONFIG, Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import Composition
from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError
from skillpm.flows.graft.assemble import assemble
from skillpm.flows.graft.graft import check_root, compose
from skillpm.flows.graft.plan import GraftInputs, plan_graft
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.composition import Hashed, check_composed, total_bytes
from skillpm.flows.packs.config_diff import changed_settings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.side_files import INERT, apply_side_files, files_of, tokenizes
from skillpm.flows.session.base_model import check_base, check_unmoved, file_keys, open_base
from skillpm.flows.session.session import Session
from skillpm.parallel import no_advance
from skillpm.probing.model_host import ModelHost
from skillpm.running.folder import NotRunnableError
from skillpm.running.runner import Runner
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.merkle import merkle_root
from skillpm.store.scratch import disk_errors, scratch

_PAD = "pad_token_id"


@dataclass
class CandidateEnvironment:
    """The project's loaded base, with the tensors of the last candidate set.

    The base is loaded once. A set that changes tensor shapes, the computation in the config, or
    tokenizer files is written to a scratch folder and loaded from there. Config and tokenizer of
    packs are read in a sandbox.
    """

    session: Session
    base: VerifiedCheckpoint
    device: str
    keys: Mapping[str, FileKey]
    _host: ModelHost | None = None
    _written: tuple[str, Runner] | None = field(default=None, repr=False)
    _foreign: UntrustedModelFiles = field(default_factory=UntrustedModelFiles, repr=False)

    @property
    def host(self) -> ModelHost:
        """The loaded base; the first access loads it."""
        if self._host is None:
            runner = load_runner(self.base, self.device)
            check_unmoved(self.base, self.keys)
            self._host = ModelHost(runner, self.base)
        return self._host

    def check_runs(self) -> None:
        """Raise `GraftError` if the base itself cannot be run, so that no pack is blamed for it."""
        assert self.host is not None  # noqa: S101 - a property that loads

    def runner(self, lock: Lockfile) -> Runner:
        """Return the model of base + a lock's set, decoded as by `graft`.

        The model is valid until the next call. Raises the errors of `graft`.
        """
        composition, packs = compose(self.session, self.base, lock)
        side = apply_side_files(files_of(self.base), side_packs(packs))
        touched = composition.touched.keys()
        if self._can_stay_loaded(side) and self.host.fits(composition, touched):
            hashed = self._hashed(composition)
            shown = self.host.show(hashed, touched)
            self._check(lock, composition, hashed)
            return shown
        inputs = GraftInputs(self.base, composition, side, link=False, metadata={})
        return self._load_written(lock, inputs)

    def check(self, lock: Lockfile) -> None:
        """Decode a lock without running it. Raises the errors of `graft`.

        In a routed lock, each skill is decoded with its requirements, as by `graft --only`.
        """
        parts = [prune(lock, [skill]) for skill in lock.skills] if lock.graft.routed else [lock]
        for part in parts:
            composition, _ = compose(self.session, self.base, part)
            self._check(part, composition, self._hashed(composition))

    def _can_stay_loaded(self, side: Mapping[str, bytes | None]) -> bool:
        """Whether the loaded base answers as if it had been loaded with these side files."""
        if tokenizes(side):
            return False
        config = side.get(CONFIG)
        if config is None:
            return True
        old = files_of(self.base)(CONFIG)
        changed = changed_settings(self._foreign, old, config, ignored=INERT)
        return not changed or (changed == {_PAD} and not self.host.runner.uses_pad_token)

    def _hashed(self, composition: Composition) -> Hashed:
        total = total_bytes(composition)
        advance = self.session.progress("composing", total) if total else no_advance
        return Hashed(composition, advance)

    def _check(self, lock: Lockfile, composition: Composition, hashed: Hashed) -> None:
        leaves = hashed.leaves(self.base.identity)
        check_composed(composition, self.base.identity, leaves)
        check_root(lock, merkle_root(leaves))

    def _load_written(self, lock: Lockfile, inputs: GraftInputs) -> Runner:
        key = lock.with_root(None).dumps()
        if self._written is None or self._written[0] != key:
            self._written = None
            with scratch(self.session.home, "stage") as folder, disk_errors(folder):
                (folder / "graft").mkdir()
                written = assemble(self.session, plan_graft(inputs), folder / "graft")
                check_root(lock, written.root)
                foreign = self._foreign if inputs.side else None
                self._written = (key, self._loaded(lock, folder / "graft", foreign))
        return self._written[1]

    def _loaded(self, lock: Lockfile, folder: Path, foreign: UntrustedModelFiles | None) -> Runner:
        try:
            return Runner.load(folder, self.device, foreign)
        except NotRunnableError as problem:
            names = ", ".join(f"`{locked.ref}`" for locked in lock.skills.values())
            raise GraftError(
                f"base + {names} cannot be run by transformers: {problem.reason}",
                hint="leave out the skill that replaces the config or the tokenizer",
            ) from problem


def open_candidate(session: Session, project: ProjectFolder, device: str) -> CandidateEnvironment:
    """Open the candidate environment of a project. Raises `IntegrityError` for a wrong base."""
    base = open_base(session, project)
    keys = file_keys(base)
    identity = session.identify(base, "hashing base")
    check_base(identity.root, project.read_file().root, base.label)
    return CandidateEnvironment(session, VerifiedCheckpoint.of(base, identity), device, keys)


def load_runner(model: Checkpoint, device: str) -> Runner:
    """Load a model folder. Raises `GraftError` if it cannot be run."""
    if model.folder is None:
        raise GraftError(
            f"`{model.path}` is a file of tensors, which cannot be run; expected a model folder",
            hint="name the folder that has config.json and the tokenizer beside the weights",
        )
    with probe_errors():
        return Runner.load(model.folder, device)


@contextmanager
def probe_errors() -> Iterator[None]:
    """Raise `GraftError` with a hint for probes if the model cannot be run."""
    try:
        yield
    except NotRunnableError as problem:
        raise GraftError(
            problem.message,
            hint="put config.json and the tokenizer beside the weights; probes need both",
        ) from problem
