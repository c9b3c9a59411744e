"""The live model of a project: its base loaded by transformers, with the skills attached."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from skillpm.checkpoint.model import CONFIG, Checkpoint, VerifiedCheckpoint
from skillpm.delta.decoding.compose import WeightedPack
from skillpm.environment.project import ProjectFolder
from skillpm.errors import GraftError
from skillpm.flows.evaluate.route import open_routes
from skillpm.flows.evaluate.routed_texts import ProjectRouter
from skillpm.flows.graft.graft import check_project_base, compose
from skillpm.flows.locking.lock_check import prune
from skillpm.flows.packs.composition import opened
from skillpm.flows.packs.config_diff import changed_settings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.quarantine import refuse_installed
from skillpm.flows.packs.side_files import INERT, apply_side_files, files_of
from skillpm.flows.session.base_model import check_unmoved, file_keys, open_base
from skillpm.flows.session.session import Session
from skillpm.live.loading import load_base, load_tokenizer
from skillpm.live.model import attach
from skillpm.live.parameter_map import ParameterMap
from skillpm.live.skill_layers import SkillLayers
from skillpm.routing.router import Decision
from skillpm.running.folder import is_causal
from skillpm.running.runner import Runner
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.spec.lockfile import Lockfile
from skillpm.store.packs import StoredPack

HARMLESS = INERT | {"architectures", "pad_token_id", "tie_word_embeddings"}
"""Config keys that do not affect the computation of a loaded model."""

CACHE_FLOOR = 1 << 28
"""The least default size of the skill cache, in bytes."""


def load_live_model(
    session: Session,
    project: ProjectFolder,
    *,
    device: str = "cpu",
    dtype: str = "auto",
    cache_bytes: int | None = None,
    warn: bool = True,
) -> Any:
    """Load the base with transformers and attach every installed skill, without merging.

    Verifies base, packs and payloads first (law 5). Decoded skills use at most `cache_bytes` of
    memory: by default the size of the base, at least 256 MiB. Raises `IntegrityError` for another
    base or a damaged blob, `GraftError` for a base that transformers cannot run. With `warn`, emits
    a Python warning for each skill that cannot run live, or whose files are ignored.
    """
    current = project.generation()
    refuse_installed(session, project, current.lockfile)
    base = open_base(session, project)
    if base.folder is None:
        raise GraftError(
            f"`{base.label}` is a file; a live model needs a model folder",
            hint="set `base` in skillpm.toml to the folder of the model",
        )
    keys = file_keys(base)
    identity = session.identify(base, "hashing base")
    check_project_base(session, current, base, identity)
    verified = VerifiedCheckpoint.of(base, identity)
    skills = dict(_layers_of(session, verified, current.lockfile))
    model = load_base(base.folder, device, dtype)
    check_unmoved(base, keys)
    parameters = ParameterMap(model, base.specs)
    limit = max(CACHE_FLOOR, sum(spec.nbytes for spec in base.specs.values()))
    checked = {name: _check_parameters(layers, parameters) for name, layers in skills.items()}
    for layers in checked.values() if warn else ():
        _warn(layers)
    return attach(model, checked, parameters, limit if cache_bytes is None else cache_bytes)


def load_bare_model(base: Checkpoint, folder: Path, device: str, dtype: str = "auto") -> Any:
    """Load a model without a project, as a live model without skills.

    Raises `GraftError` if transformers cannot run the model.
    """
    model = load_base(folder, device, dtype)
    return attach(model, {}, ParameterMap(model, base.specs), 0)


def base_tokenizer(session: Session, project: ProjectFolder) -> Any:
    """Load the tokenizer of the project's base. Raises `GraftError` if it has none."""
    return load_tokenizer(open_base(session, project).path)


class LiveRouter:
    """Routes texts with a live model, or with a base that it loads itself.

    Builds the router once for each generation of the project. `tokenizer` is the base's, if it is
    loaded already.
    """

    def __init__(
        self, session: Session, project: ProjectFolder, model: Any = None, tokenizer: Any = None
    ) -> None:
        self._session = session
        self._project = project
        self._model = model
        self._tokenizer = tokenizer
        self._routes: tuple[int, ProjectRouter] | None = None

    def route(self, texts: Sequence[str]) -> list[Decision]:
        """Return one decision for each text. Costs one pass of the base over all texts.

        Raises `UsageError` for a blank text, `IntegrityError` for a wrong base or a damaged blob,
        `GraftError` for a base that cannot run.
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
        model = self._model
        tokenizer = self._tokenizer or base_tokenizer(self._session, self._project)
        return Runner(model, tokenizer, is_causal(model.config), str(model.device))


def _layers_of(
    session: Session, base: VerifiedCheckpoint, lock: Lockfile
) -> Iterator[tuple[str, SkillLayers]]:
    """Yield every skill with its requirements as layers, after hashing all blobs."""
    _, packs = compose(session, base, lock)
    by_skill = {pack.manifest.skill: pack for pack in packs}
    open_packs = {pack.skill: pack for pack in opened(packs)}
    for pack in open_packs.values():
        pack.hash_layers()
    for skill in lock.skills:
        layers = prune(lock, [skill]).skills
        applied = tuple(
            WeightedPack(open_packs[name], locked.weight) for name, locked in layers.items()
        )
        payload = sum(by_skill[name].manifest.compression.payload_bytes for name in layers)
        refusal, note = _side_effects(base, [by_skill[name] for name in layers])
        merging = lock.graft.merging
        yield str(skill), SkillLayers(str(skill), base, applied, payload, refusal, note, merging)


def _side_effects(base: Checkpoint, packs: Sequence[StoredPack]) -> tuple[str | None, str | None]:
    """Return why side files prevent a set from running live, and a note on ignored side files.

    A live model switches tensors only, so it always computes with the config of the base.
    """
    old = files_of(base)
    side = apply_side_files(old, side_packs(packs))
    config = side.get(CONFIG)
    keys = sorted(_changed_keys(old(CONFIG), config)) if config is not None else []
    refusal = f"it changes `{keys[0]}` in config.json" if keys else None
    ignored = sorted(side.keys() - {CONFIG})
    note = ", ".join(f"`{name}`" for name in ignored) if ignored else None
    return refusal, note


def _changed_keys(old: bytes | None, new: bytes) -> frozenset[str]:
    return changed_settings(UntrustedModelFiles(), old, new, ignored=HARMLESS)


def _check_parameters(layers: SkillLayers, parameters: ParameterMap) -> SkillLayers:
    """Return the layers, with a refusal if a tensor has no parameter in the running model."""
    try:
        if layers.refusal is None:
            parameters.places_of(layers.entries)
    except GraftError as problem:
        return replace(layers, refusal=problem.message)
    return layers


def _warn(layers: SkillLayers) -> None:
    if layers.refusal is not None:
        text = f"`{layers.skill}` cannot run live: {layers.refusal}"
    elif layers.note is not None:
        text = (
            f"`{layers.skill}` runs with the files of the base; its own are ignored: {layers.note}"
        )
    else:
        return
    warnings.warn(text.encode("unicode_escape").decode(), stacklevel=3)  # names come from packs
