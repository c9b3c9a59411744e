"""Open the tuned model of a pack: a model folder, or an adapter applied to the reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.adapters.adapter import Adapter, holds_adapter, holds_model, open_adapter
from skillpm.adapters.config import CONFIG as ADAPTER
from skillpm.adapters.experts import ExpertSum
from skillpm.adapters.fit import FittedAdapter, KnownNames, fit, merge_keys
from skillpm.architecture.ask import ask_facts
from skillpm.architecture.entries import TIE
from skillpm.checkpoint.find_model import complete_snapshot, find_model
from skillpm.checkpoint.model import CONFIG, Checkpoint, open_checkpoint
from skillpm.delta.encoding.lora_source import Adapted
from skillpm.delta.tensors.ports import Source
from skillpm.errors import GraftError, SpecError
from skillpm.flows.pack.named_base import check_named_base
from skillpm.flows.pack.reference import Reference
from skillpm.flows.packs.module_layout import ask_layout
from skillpm.flows.packs.side_files import files_in, files_of
from skillpm.flows.session.session import Session
from skillpm.parallel import parallel_map
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity

Files = Callable[[str], bytes | None]
_METHODS = {False: "lora", True: "dora"}


@dataclass(frozen=True)
class AppliedAdapter:
    """An adapter applied to a reference: its tensors, and what the manifest states about it.

    `settings` are ranks, alpha and the number of modules; `method` is `lora` or `dora`.
    `base_name` is the name of the base that the adapter was trained on, if the adapter has it.
    """

    tensors: Adapted
    settings: Mapping[str, object]
    method: str
    base_name: str | None


@dataclass(frozen=True)
class TunedModel:
    """The tuned model: its tensors, its identity, its small files and its folder."""

    source: Source
    identity: Identity
    files: Files
    folder: Path | None
    adapter: AppliedAdapter | None = None


def find_tuned(
    path: Path, tuned_is: str | None = None, say: Callable[[str], None] = lambda _text: None
) -> Checkpoint | Adapter:
    """Open the model or the adapter that the user named: a path, or one of the Hugging Face cache.

    `tuned_is` is `model` or `adapter`, for a folder with both. Raises `SpecError` if the folder has
    both and `tuned_is` is None, or if it does not have the one that `tuned_is` names; and the
    errors of `find_model`.
    """
    place = find_model(path, say)
    with complete_snapshot(place):
        return _open_tuned(place, tuned_is)


def _open_tuned(path: Path, tuned_is: str | None) -> Checkpoint | Adapter:
    if not holds_adapter(path):
        if tuned_is == "adapter":
            raise SpecError(f"`{path}` is not an adapter: it has no `{ADAPTER}`")
        return open_checkpoint(path)
    if holds_model(path):
        if tuned_is is None:
            raise SpecError(
                f"`{path}` contains both a model and an adapter (`{ADAPTER}`): skillpm cannot tell "
                "which of them is the tuned model",
                hint="to pack the model's own weights: `--tuned-is model`; to pack the adapter: "
                "`--tuned-is adapter`",
            )
        return open_checkpoint(path) if tuned_is == "model" else open_adapter(path)
    if tuned_is == "model":
        raise SpecError(f"`{path}` contains only an adapter, but no model")
    return open_adapter(path)


def open_tuned(session: Session, found: Checkpoint | Adapter, reference: Reference) -> TunedModel:
    """Hash the tuned model, or apply the adapter to the reference and hash what it changes.

    Raises `GraftError` if the adapter changes nothing or cannot be applied exactly,
    `IntegrityError` if it was trained on another base.
    """
    if isinstance(found, Adapter):
        return _apply_adapter(session, found, reference)
    tuned = session.hash_model(found, "hashing tuned", cached=False)
    return TunedModel(tuned, tuned.identity, files_of(tuned), tuned.folder)


def _apply_adapter(session: Session, adapter: Adapter, reference: Reference) -> TunedModel:
    fitted = fit_adapter(session, adapter, reference)
    named = check_named_base(session, adapter, reference, fitted.adapted)
    for note in fitted.notes:
        session.say(f"note: {note}")
    identity = _identify(session, reference, fitted.adapted)
    if identity.leaves == reference.identity.leaves:
        raise unchanged_error(adapter)
    return adapted_model(adapter, reference, fitted, identity, named)


def fit_adapter(
    session: Session, adapter: Adapter, reference: Reference, *, keep: bool = True
) -> FittedAdapter:
    """Match an adapter with the reference; computes no tensor.

    `keep` saves in the home what the model class answers. Raises `GraftError` if the adapter cannot
    be applied exactly.
    """
    text = reference.files(CONFIG)
    config = json.parse_object(text, f"the base's `{CONFIG}`", foreign=True) if text else {}
    if config.get("quantization_config"):
        raise GraftError(
            f"`{reference.base.label}` is quantised, and the error of an adapter on quantised "
            "weights is unknown",
            hint="use the base in full precision",
        )
    layout = ask_layout(adapter, reference.source, text, home=session.home, keep=keep)
    return fit(adapter, reference.source, config, known=layout or _known_names(adapter, config))


def adapted_model(
    adapter: Adapter,
    reference: Reference,
    fitted: FittedAdapter,
    identity: Identity,
    named: str | None,
) -> TunedModel:
    """The tuned model that an adapter gives; `named` is the base that the adapter names."""
    files = _files(adapter, reference.files, dict(fitted.config))
    settings = _settings(adapter, fitted.adapted)
    method = _METHODS[adapter.config.use_dora]
    applied = AppliedAdapter(fitted.adapted, settings, method, named)
    return TunedModel(fitted.adapted, identity, files, adapter.path, applied)


def unchanged_error(adapter: Adapter) -> GraftError:
    """The error for an adapter that changes nothing."""
    return GraftError(
        f"`{adapter.path}` changes no tensor of its base: there is nothing to pack",
        hint="check that the adapter was trained: a new LoRA is zero and changes nothing",
    )


def _known_names(adapter: Adapter, config: Mapping[str, Any]) -> KnownNames:
    """The known facts about the adapter's model class, if transformers cannot load that class.

    Raises `GraftError` if nothing is known about the class and the adapter changes an embedding.
    """
    named = adapter.config.model_class
    config = {**config, "architectures": [named]} if named else config
    facts = ask_facts(config)
    shared = [name for name, module in adapter.keys.modules.items() if module.embedding]
    shared += [
        target
        for target, key in adapter.keys.dense.items()
        if len(adapter.tensors.specs[key].shape) > 1
    ]
    if facts.library is None and shared:
        raise GraftError(
            f"the adapter changes `{min(shared)}`, but the base's architecture is unknown, so "
            "skillpm cannot know whether another tensor is tied to it",
            hint="merge it first: `model.merge_and_unload().save_pretrained(DIR)`, and pack DIR",
        )
    parts = {key: {TIE: False} for key, part in config.items() if _has_tie_key(part)}
    for untied in ({TIE: False}, {TIE: False, **parts}):
        if not ask_facts(merge_keys(config, untied)).tied:
            return KnownNames(facts, untied if facts.tied else {})
    return KnownNames(facts, {})


def _has_tie_key(part: Any) -> bool:
    return isinstance(part, dict) and TIE in part


def _identify(session: Session, reference: Reference, adapted: Adapted) -> Identity:
    """The identity of the reference with the adapter. Computes only the tensors that change.

    Asks for the reference's identity last: a base that is hashed on its first read is read once.
    """
    touched, specs = adapted.touched, adapted.specs
    advance = session.progress("applying the adapter", sum(specs[n].nbytes for n in touched))

    def leaf(name: str) -> Digest:
        digest = adapted.leaf(name)
        advance(specs[name].nbytes)
        return digest

    leaves = parallel_map(leaf, touched, workers=session.workers)
    changed = dict(zip(touched, leaves, strict=True))
    return Identity(specs, {**reference.identity.leaves, **changed})


def _files(adapter: Adapter, before: Files, config: dict[str, object]) -> Files:
    """The adapter's small files. Its `config.json` is the base's with the adapter's changes."""
    beside = files_in(adapter.path)

    def read(name: str) -> bytes | None:
        if name != CONFIG:
            return beside(name)
        text = before(CONFIG)
        plain = json.parse_object(text or b"{}", f"the base's `{CONFIG}`", foreign=True)
        return json.pretty(merge_keys(plain, config), foreign=True) if config else text

    return read


def _settings(adapter: Adapter, adapted: Adapted) -> dict[str, object]:
    """The settings of an adapter for the manifest: ranks, alpha, and the number of modules."""
    config = adapter.config
    ranks = [pending.a.spec.shape[0] for pending in adapted.updates.values()]
    sources = [stored.source for stored in adapted.dense.values()]
    ranks += [source.factors.target.rank for source in sources if isinstance(source, ExpertSum)]
    return {
        "ranks": sorted(set(ranks)),
        "alpha": config.lora_alpha,
        "rslora": config.use_rslora,
        "dora": config.use_dora,
        "modules": len(ranks),
    }
