"""Putting an adapter on a base: which tensors of the base its modules are, and ties of the head."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skillpm.adapters.adapter import Adapter
from skillpm.delta.adapted import Adapted, Pending, Stored
from skillpm.delta.match import Renaming, find_renaming
from skillpm.delta.ports import Source
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec

HEAD = "lm_head.weight"
EMBEDDINGS = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "shared.weight",
)  # fmt: skip
CONV1D = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"})
"""Architectures whose layers store [in, out]: transformers' Conv1D."""
_WITH_HEAD = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


@dataclass(frozen=True)
class Fitted:
    """An adapter on a base: the source that it makes, keys of config.json, notes for people."""

    adapted: Adapted
    config: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass
class _Fitting:
    adapter: Adapter
    base: Source
    config: Mapping[str, Any]
    renaming: Renaming = field(init=False)
    dense: dict[str, Stored] = field(init=False, default_factory=dict)
    updates: dict[str, Pending] = field(init=False, default_factory=dict)
    notes: list[str] = field(init=False, default_factory=list)

    @property
    def embedding(self) -> str | None:
        """The embedding that the head is tied to: the head is not stored, and the config ties."""
        names = self.config.get("architectures")
        first = str(names[0]) if isinstance(names, list) and names else ""
        ties = first.endswith(_WITH_HEAD) and self.config.get("tie_word_embeddings", True)
        found = [name for name in self.base.specs if name.endswith(EMBEDDINGS)]
        return found[0] if ties and HEAD not in self.base.specs and len(found) == 1 else None


def fit(adapter: Adapter, base: Source, config: Mapping[str, Any]) -> Fitted:
    """Put an adapter on a base whose config.json is `config`.

    Raises `GraftError` where a module is not the base's, or its factors do not fit.
    """
    fitting = _Fitting(adapter, base, config)
    fitting.renaming = find_renaming(base.specs, _wanted(adapter))
    for target, key in adapter.keys.dense.items():
        _place_dense(fitting, target, key)
    for module in adapter.keys.modules:
        _place_module(fitting, module)
    _tie(fitting)
    adapted = Adapted(base, fitting.dense, fitting.updates)
    return Fitted(adapted, _config_of(fitting), tuple(fitting.notes))


def _wanted(adapter: Adapter) -> dict[str, TensorSpec]:
    """The names that the adapter speaks of, as a model of its class would have them."""
    wanted = {target: adapter.tensors.specs[key] for target, key in adapter.keys.dense.items()}
    for module in adapter.keys.modules:
        name = f"{module}.weight"
        a, b = adapter.factors(module)
        wanted[name] = TensorSpec(name, a.dtype, (b.shape[0], a.shape[1]))
    return wanted


def _place_dense(fitting: _Fitting, target: str, key: str) -> None:
    adapter = fitting.adapter
    name = fitting.renaming.to_graft(target)
    stored = Stored(adapter.tensors, key)
    if name in fitting.base.specs:
        if not stored.is_like(Stored(fitting.base, name)):
            fitting.dense[name] = stored
        return
    saved = adapter.config.modules_to_save or []
    if target != HEAD and not any(module in target for module in saved):
        raise GraftError(
            f"the adapter holds {key!r}, but the base has no `{name}`",
            hint="name the base that the adapter was trained on",
        )
    fitting.dense[name] = stored


def _place_module(fitting: _Fitting, module: str) -> None:
    adapter = fitting.adapter
    name = fitting.renaming.to_graft(f"{module}.weight")
    a, b = adapter.factors(module)
    head = name == HEAD and name not in fitting.base.specs
    if head and name not in fitting.dense and fitting.embedding is not None:
        fitting.dense[name] = Stored(fitting.base, fitting.embedding)
    stored = fitting.dense.get(name)
    spec = stored.spec if stored else fitting.base.specs.get(name)
    if spec is None:
        raise GraftError(
            f"the adapter targets `{module}`, but the base has no `{name}`",
            hint="name the base that the adapter was trained on",
        )
    embedding = adapter.module(module).embedding
    transposed = _is_transposed(fitting, module, spec, (b.shape[0], a.shape[1]))
    magnitude = adapter.module(module).magnitude
    fitting.updates[name] = Pending(
        Stored(adapter.tensors, a.name),
        Stored(adapter.tensors, b.name),
        adapter.config.scale_of(module, a.shape[0]),
        transposed or embedding,
        axis=None if magnitude is None else int(transposed or embedding),
        magnitude=None if magnitude is None else Stored(adapter.tensors, magnitude),
    )


def _is_transposed(
    fitting: _Fitting, module: str, spec: TensorSpec, shape: tuple[int, int]
) -> bool:
    """Whether the base stores the module as [in, out]; a square matrix is told by its model.

    PEFT writes one `fan_in_fan_out` for all modules: that of the last it met.
    """
    if spec.shape == (shape[1], shape[0]) != shape:
        return True
    if shape[0] != shape[1] or module.endswith("lm_head"):
        return False
    return fitting.adapter.config.fan_in_fan_out or fitting.config.get("model_type") in CONV1D


def _tie(fitting: _Fitting) -> None:
    """Keep head and embedding tied where the adapter gives both the same; else write both.

    A model that is loaded ties them again, so what a head gets by itself must be a tensor, and
    `tie_word_embeddings` false: a graft sees to that.
    """
    embedding, dense, updates = fitting.embedding, fitting.dense, fitting.updates
    if embedding is None:
        return
    moved = embedding in dense or embedding in updates
    tied = fitting.adapter.config.ensure_weight_tying or _is_resized(fitting, embedding)
    if HEAD in updates and embedding in updates and tied:
        del updates[HEAD], dense[HEAD]
    elif HEAD in dense and HEAD not in updates:
        origin = dense.get(embedding) or Stored(fitting.base, embedding)
        if embedding not in updates and dense[HEAD].is_like(origin):
            del dense[HEAD]
    elif moved and HEAD not in dense and not tied:
        dense[HEAD] = Stored(fitting.base, embedding)
    if HEAD in dense:
        fitting.notes.append(
            f"the base ties `{HEAD}` to `{embedding}`, and the adapter changes one of them: "
            "the pack carries the head as a tensor of its own"
        )


def _is_resized(fitting: _Fitting, name: str) -> bool:
    stored = fitting.dense.get(name)
    return stored is not None and stored.spec.shape != fitting.base.specs[name].shape


def _config_of(fitting: _Fitting) -> dict[str, Any]:
    """`vocab_size`, where the embedding that it counts was resized."""
    found: dict[str, Any] = {}
    for name in fitting.dense:
        if name.endswith(EMBEDDINGS) and name in fitting.base.specs:
            before, after = fitting.base.specs[name].shape[0], fitting.dense[name].spec.shape[0]
            if before != after and fitting.config.get("vocab_size") == before:
                found["vocab_size"] = after
    return found
