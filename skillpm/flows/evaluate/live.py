"""A project as Python holds it: its base as a running model, every installed skill beside it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, overload

from skillpm.checkpoint.model import CONFIG, Checkpoint
from skillpm.delta.apply.compose import Applied
from skillpm.environment.project import Project
from skillpm.errors import GraftError
from skillpm.flows.evaluate.route import open_routes
from skillpm.flows.evaluate.routed_texts import Routes
from skillpm.flows.graft.graft import check_project_base, compose
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.composition import opened
from skillpm.flows.packs.config_diff import changed_settings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.side_files import INERT, apply_side_files, files_of
from skillpm.flows.session.base_model import check_unmoved, file_keys, open_base
from skillpm.flows.session.session import Setting
from skillpm.live.loading import load_base, load_tokenizer
from skillpm.live.model import attach
from skillpm.live.places import Places
from skillpm.live.stack import Stack
from skillpm.routing.router import Decision
from skillpm.running.folder import is_causal
from skillpm.running.foreign import ForeignModelFiles
from skillpm.running.runner import Runner
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.merkle import Identity
from skillpm.store.packs import StoredPack

HARMLESS = INERT | {"architectures", "pad_token_id", "tie_word_embeddings"}
"""Keys of a config that do not change what the weights of a running model compute: what it was
built by stays."""

WARM_FLOOR = 1 << 28
"""Bytes for skills that are ready, where the base is smaller than that."""


class Workspace:
    """A project that is open: what is installed in it, to be run. Writes nothing in the project.

    While it or a model from it is there, `gc` waits for it.
    """

    def __init__(self, setting: Setting, closing: ExitStack) -> None:
        self._setting = setting
        self._project = Project(setting.project)
        self._project.require()
        self._closing = closing
        self._model: Any = None
        self._routes: tuple[int, Routes] | None = None

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self._setting.project

    @property
    def skills(self) -> dict[str, str]:
        """What is installed: skills and versions."""
        return {str(s): str(one.version) for s, one in self._lock.skills.items()}

    @property
    def _lock(self) -> Lockfile:
        return self._project.generation().lockfile

    def load(
        self, *, device: str = "cpu", dtype: str = "auto", warm_bytes: int | None = None
    ) -> Any:
        """The base as transformers' own model, every installed skill attached, nothing merged.

        Base, packs and payloads are verified first (law 5). Skills that are ready to run take
        `warm_bytes` of memory at most: as much as the base by default, or 256 MiB. Raises
        `IntegrityError` for another base or a damaged blob, `GraftError` for a base that
        transformers cannot run. The workspace holds what it loaded last, to route by it.
        """
        self._model = self._routes = None
        self._model = self._load(device, dtype, warm_bytes)
        return self._model

    def _load(self, device: str, dtype: str, warm_bytes: int | None) -> Any:
        setting, current = self._setting, self._project.generation()
        base = open_base(setting, self._project)
        if base.folder is None:
            raise GraftError(f"`{base.path}` is a file: a live model needs the folder around it")
        keys = file_keys(base)
        identity = setting.identify(base, "hashing base")
        check_project_base(setting, current, base, identity)
        stacks = dict(_stacks(setting, base, identity, current.lockfile))
        model = load_base(base.folder, device, dtype)
        check_unmoved(base, keys)
        places = Places(model, base.specs)
        limit = max(WARM_FLOOR, sum(spec.nbytes for spec in base.specs.values()))
        checked = {name: _placed(stack, places) for name, stack in stacks.items()}
        for stack in checked.values():
            _tell(stack)
        return attach(model, checked, places, limit if warm_bytes is None else warm_bytes)

    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        return load_tokenizer(open_base(self._setting, self._project).path)

    @overload
    def route(self, texts: str) -> Decision: ...

    @overload
    def route(self, texts: list[str] | tuple[str, ...]) -> list[Decision]: ...

    def route(self, texts: str | list[str] | tuple[str, ...]) -> Decision | list[Decision]:
        """Which installed skill a text is for: `model.skill(decision.skill)`; None is the base.

        One text has one decision, a list of n a list of n. Costs one pass of the base over them: of
        the model that `load` gave, whatever skill is active in it, else of one that is loaded now,
        as `skillpm route` does. Raises `UsageError` for a blank text, `IntegrityError` where base
        or a signature is not sound, `GraftError` for a base that cannot run.
        """
        some = [texts] if isinstance(texts, str) else list(texts)
        decisions = self._decide(some) if some else []
        return decisions[0] if isinstance(texts, str) else decisions

    def _decide(self, texts: list[str]) -> list[Decision]:
        model, number = self._model, self._project.generation().number
        if self._routes is None or self._routes[0] != number:
            runner = None if model is None else self._runner
            self._routes = number, open_routes(self._setting, runner=runner)
        routes = self._routes[1]
        if model is None or routes.runner is None:
            return list(routes.route(texts).decisions)
        routes.runner.device = str(model.device)  # people move it
        with model.skill(None):
            return list(routes.route(texts).decisions)

    def _runner(self) -> Runner:
        """The live model, to be read from."""
        model = self._model
        return Runner(model, self.tokenizer(), is_causal(model.config), str(model.device))

    def close(self) -> None:
        """Let go of the store, and of the model that `load` gave."""
        self._model = self._routes = None
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _stacks(
    setting: Setting, base: Checkpoint, identity: Identity, lock: Lockfile
) -> Iterator[tuple[str, Stack]]:
    """Every skill with what it needs, all blobs hashed."""
    _, packs = compose(setting, base, identity, lock)
    by_skill = {pack.manifest.skill: pack for pack in packs}
    open_packs = {pack.skill: pack for pack in opened(packs)}
    for pack in open_packs.values():
        pack.hash_layers()
    for skill in lock.skills:
        some = prune(lock, [skill]).skills
        applied = tuple(Applied(open_packs[one], some[one].weight) for one in some)
        payload = sum(by_skill[one].manifest.compression.payload_bytes for one in some)
        refusal, note = _side_effects(base, [by_skill[one] for one in some])
        merging = lock.graft.merging
        yield str(skill), Stack(str(skill), base, applied, payload, refusal, note, merging)


def _side_effects(base: Checkpoint, packs: Sequence[StoredPack]) -> tuple[str | None, str | None]:
    """Why side files keep a set from running live, and what they would change beside the tensors.

    Tensors alone are switched: what a config says of the computation is the base's.
    """
    old = files_of(base)
    side = apply_side_files(old, side_packs(packs))
    config = side.get(CONFIG)
    keys = sorted(_changed_keys(old(CONFIG), config)) if config is not None else []
    refusal = f"it changes `{keys[0]}` in config.json" if keys else None
    others = sorted(side.keys() - {CONFIG})
    note = f"its {', '.join(f'`{name}`' for name in others)}" if others else None
    return refusal, note


def _changed_keys(old: bytes | None, new: bytes) -> frozenset[str]:
    return changed_settings(ForeignModelFiles(), old, new, ignored=HARMLESS)


def _placed(stack: Stack, places: Places) -> Stack:
    """The stack, refused where a tensor of it has no place beside the base's."""
    try:
        if stack.refusal is None:
            places.of(stack.entries)
    except GraftError as problem:
        return replace(stack, refusal=problem.message)
    return stack


def _tell(stack: Stack) -> None:
    if stack.refusal is not None:
        told = f"`{stack.skill}` cannot run live: {stack.refusal}"
    elif stack.note is not None:
        told = f"`{stack.skill}` runs with the base's files, without {stack.note}"
    else:
        return
    warnings.warn(told.encode("unicode_escape").decode(), stacklevel=3)  # names come from packs
