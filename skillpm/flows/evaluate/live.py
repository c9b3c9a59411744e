"""The live model of a project: its base, running, with every installed skill attached."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from skillpm.checkpoint.model import CONFIG, Checkpoint, VerifiedCheckpoint
from skillpm.delta.apply.compose import WeightedPack
from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError
from skillpm.flows.evaluate.route import open_routes
from skillpm.flows.evaluate.routed_texts import ProjectRouter
from skillpm.flows.graft.graft import check_project_base, compose
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.composition import opened
from skillpm.flows.packs.config_diff import changed_settings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.side_files import INERT, apply_side_files, files_of
from skillpm.flows.session.base_model import check_unmoved, file_keys, open_base
from skillpm.flows.session.session import Session
from skillpm.live.loading import load_base, load_tokenizer
from skillpm.live.model import attach
from skillpm.live.places import ParameterMap
from skillpm.live.stack import SkillLayers
from skillpm.routing.router import Decision
from skillpm.running.folder import is_causal
from skillpm.running.foreign import ForeignModelFiles
from skillpm.running.runner import Runner
from skillpm.spec.lockfile import Lockfile
from skillpm.store.packs import StoredPack

HARMLESS = INERT | {"architectures", "pad_token_id", "tie_word_embeddings"}
"""Keys of a config that do not change what the weights of a running model compute: what it was
built by stays."""

CACHE_FLOOR = 1 << 28
"""Bytes for skills that are ready to run, where the base is smaller than that."""


def load_live_model(
    session: Session,
    project: ProjectFolder,
    *,
    device: str = "cpu",
    dtype: str = "auto",
    cache_bytes: int | None = None,
) -> Any:
    """The base as transformers' own model, every installed skill attached, nothing merged.

    Base, packs and payloads are verified first (law 5). Skills that are ready to run take at most
    `cache_bytes` of memory: by default as much as the base, at least 256 MiB. Raises
    `IntegrityError` for another base or a damaged blob, `GraftError` for a base that transformers
    cannot run.
    """
    current = project.generation()
    base = open_base(session, project)
    if base.folder is None:
        raise GraftError(f"`{base.path}` is a file: a live model needs the folder around it")
    keys = file_keys(base)
    identity = session.identify(base, "hashing base")
    check_project_base(session, current, base, identity)
    verified = VerifiedCheckpoint.of(base, identity)
    stacks = dict(_stacks(session, verified, current.lockfile))
    model = load_base(base.folder, device, dtype)
    check_unmoved(base, keys)
    places = ParameterMap(model, base.specs)
    limit = max(CACHE_FLOOR, sum(spec.nbytes for spec in base.specs.values()))
    checked = {name: _placed(stack, places) for name, stack in stacks.items()}
    for stack in checked.values():
        _warn(stack)
    return attach(model, checked, places, limit if cache_bytes is None else cache_bytes)


def base_tokenizer(session: Session, project: ProjectFolder) -> Any:
    """The tokenizer of the project's base. Raises `GraftError` where it has none."""
    return load_tokenizer(open_base(session, project).path)


class LiveRouter:
    """Routes texts by a live model that is loaded already, or by a base that is loaded for it.

    The router is built once for each generation of the project.
    """

    def __init__(self, session: Session, project: ProjectFolder, model: Any = None) -> None:
        self._session = session
        self._project = project
        self._model = model
        self._routes: tuple[int, ProjectRouter] | None = None

    def route(self, texts: Sequence[str]) -> list[Decision]:
        """One decision for each text. Costs one pass of the base over all of them.

        Raises `UsageError` for a blank text, `IntegrityError` where the base or a signature is
        not sound, `GraftError` for a base that cannot run.
        """
        if not texts:
            return []
        model, number = self._model, self._project.generation().number
        if self._routes is None or self._routes[0] != number:
            runner = None if model is None else self._runner
            self._routes = number, open_routes(self._session, runner=runner)
        routes = self._routes[1]
        if model is None or routes.runner is None:
            return list(routes.route(texts).decisions)
        routes.runner.device = str(model.device)  # callers may have moved the model
        with model.use_skill(None):
            return list(routes.route(texts).decisions)

    def _runner(self) -> Runner:
        model, tokenizer = self._model, base_tokenizer(self._session, self._project)
        return Runner(model, tokenizer, is_causal(model.config), str(model.device))


def _stacks(
    session: Session, base: VerifiedCheckpoint, lock: Lockfile
) -> Iterator[tuple[str, SkillLayers]]:
    """Every skill with what it needs, all blobs hashed."""
    _, packs = compose(session, base, lock)
    by_skill = {pack.manifest.skill: pack for pack in packs}
    open_packs = {pack.skill: pack for pack in opened(packs)}
    for pack in open_packs.values():
        pack.hash_layers()
    for skill in lock.skills:
        some = prune(lock, [skill]).skills
        applied = tuple(WeightedPack(open_packs[one], some[one].weight) for one in some)
        payload = sum(by_skill[one].manifest.compression.payload_bytes for one in some)
        refusal, note = _side_effects(base, [by_skill[one] for one in some])
        merging = lock.graft.merging
        yield str(skill), SkillLayers(str(skill), base, applied, payload, refusal, note, merging)


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


def _placed(stack: SkillLayers, places: ParameterMap) -> SkillLayers:
    """The stack, refused where a tensor of it has no place beside the base's."""
    try:
        if stack.refusal is None:
            places.of(stack.entries)
    except GraftError as problem:
        return replace(stack, refusal=problem.message)
    return stack


def _warn(stack: SkillLayers) -> None:
    if stack.refusal is not None:
        text = f"`{stack.skill}` cannot run live: {stack.refusal}"
    elif stack.note is not None:
        text = f"`{stack.skill}` runs with the base's files, without {stack.note}"
    else:
        return
    warnings.warn(text.encode("unicode_escape").decode(), stacklevel=3)  # names come from packs
