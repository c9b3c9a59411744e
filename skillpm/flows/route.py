"""`route`: which installed skill a text is for, or none: then the base answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.model import Checkpoint
from skillpm.environment.generation import Entry
from skillpm.environment.project import Project
from skillpm.errors import GraftError, IntegrityError, UsageError
from skillpm.flows.base import check_base, check_unmoved, file_keys, open_base
from skillpm.flows.setting import Setting
from skillpm.routing.features import features, width_of
from skillpm.routing.router import NOTHING, Decision, Router
from skillpm.routing.signature import LIMIT, Signature, parse_signature
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.store.blobs import Store
from skillpm.store.packs import StoredPack, load_pack


@dataclass(frozen=True)
class Routed:
    """Decisions, one for each text, and what each took on average, in milliseconds."""

    decisions: tuple[Decision, ...]
    features_ms: float
    decision_ms: float


@dataclass(frozen=True)
class Routes:
    """A project's router over its running base; `left_out` says why a skill is no candidate."""

    router: Router
    runner: Runner | None
    left_out: Mapping[SkillName, str]

    def route(self, texts: Sequence[str]) -> Routed:
        """Decide for texts, run together. Raises `UsageError` for one that is blank."""
        if any(not text.strip() for text in texts):
            raise UsageError("a text to route is blank", hint='`skillpm route "what is 2 + 2?"`')
        started = time.perf_counter()
        seen = None if self.runner is None else features(self.runner, texts)
        between = time.perf_counter()
        decisions = [NOTHING] * len(texts) if seen is None else self.router.decide(seen)
        done = time.perf_counter()
        each = 1000 / max(1, len(texts))
        return Routed(tuple(decisions), (between - started) * each, (done - between) * each)


def open_routes(
    setting: Setting, *, device: str = "cpu", runner: Callable[[], Runner] | None = None
) -> Routes:
    """The router of what is installed. The base is loaded where a skill has a signature.

    Or `runner` gives the project's base as it runs already; who gives it answers for its root.
    Raises `IntegrityError` where a signature is not sound, or the base not the one.
    """
    project = Project(setting.project)
    project.require()
    current = project.generation()
    signatures, left_out = signatures_of(setting.store, current.installed, current.base_root)
    if not signatures:
        return Routes(Router.of({}, 0), None, left_out)
    running = runner() if runner else _base_runner(setting, project, current.base_root, device)
    return Routes(Router.of(signatures, width_of(running)), running, left_out)


def signatures_of(
    store: Store, entries: Mapping[SkillName, Entry], root: Digest
) -> tuple[dict[SkillName, Signature], dict[SkillName, str]]:
    """The signatures of a set that are of this base, and why the other skills are no candidates.

    Raises `IntegrityError` where one is not sound.
    """
    signatures: dict[SkillName, Signature] = {}
    left_out: dict[SkillName, str] = {}
    for skill, one in entries.items():
        signature = signature_of(load_pack(store, one.digest))
        if signature is None:
            left_out[skill] = "its pack has no router signature"
        elif signature.base != root:
            left_out[skill] = f"its signature is of base `{signature.base}`"
        else:
            signatures[skill] = signature
    return signatures, left_out


def signature_of(pack: StoredPack) -> Signature | None:
    """A pack's router signature, checked. Raises `IntegrityError` where it is not sound."""
    layers = pack.image.layer(ROUTER_TYPE)
    if not layers:
        return None
    what = f"the router signature of {pack.manifest.ref}"
    if layers[0].size > LIMIT:
        raise IntegrityError(f"{what} is {layers[0].size} bytes, over the limit of {LIMIT}")
    return parse_signature(pack.read(layers[0].digest), pack.manifest.base.root, what)


def _base_runner(setting: Setting, project: Project, root: Digest, device: str) -> Runner:
    base = open_base(setting, project)
    keys = file_keys(base)
    check_base(setting.identify(base, "hashing base").root, root, base.path)
    runner = Runner.load(folder_of(base), device)
    check_unmoved(base, keys)
    return runner


def folder_of(base: Checkpoint) -> Path:
    """The folder of a base that is run. Raises `GraftError` where it is a bare file."""
    if base.folder is None:
        raise GraftError(
            f"the router runs the base, and `{base.path}` is no model folder",
            hint="name the folder with config and tokenizer: `--base PATH`",
        )
    return base.folder
