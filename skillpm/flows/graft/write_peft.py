"""Write a low-rank form as a PEFT adapter."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from skillpm.adapters.config import CONFIG, WEIGHTS
from skillpm.adapters.expert_forms import ExpertForms
from skillpm.adapters.keys import PREFIX
from skillpm.checkpoint.hub_cache import HubSnapshot
from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.write import write_shard
from skillpm.delta.codecs.shared.exact_product import Factor as StoredFactor
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.encoding.low_rank_form import LowForm, factor_bytes, multiplied, pad_bytes
from skillpm.flows.graft.lora_scaling import LoraScaling
from skillpm.flows.graft.peft import LayeredDelta, LowRankResult
from skillpm.flows.graft.peft_targets import check_loads
from skillpm.parallel import no_advance, thread_pool
from skillpm.spec import json
from skillpm.spec.dtypes import TensorSpec

_A, _B = "lora_A", "lora_B"
Factor = tuple[TensorSpec, Callable[[], bytes]]
"""A factor of an adapter, and a function that returns its bytes."""


def write_peft(folder: Path, layered: LayeredDelta, low_rank: LowRankResult, workers: int) -> None:
    """Write the two files of an adapter to an empty folder.

    Raises `GraftError` if PEFT could not load the adapter.
    """
    every = [*_of_layers(layered, low_rank), *_of_experts(low_rank)]
    factors = {spec.name: (spec, data) for spec, data in every}
    specs = {key: spec for key, (spec, _) in factors.items()}
    config = _config(layered.base, low_rank)
    check_loads(layered.base, config, specs)

    def chunks(key: str) -> Iterator[bytes]:
        yield factors[key][1]()

    with thread_pool(workers) as pool:
        write_shard(
            folder / WEIGHTS,
            specs,
            chunks,
            metadata={"format": "pt"},
            pool=pool,
            advance=no_advance,
        )
    (folder / CONFIG).write_bytes(json.pretty(config))


def _of_layers(layered: LayeredDelta, low_rank: LowRankResult) -> Iterator[Factor]:
    """Yield A [rank, in] and B [out, rank] of each layer; transposed if it stores [in, out]."""
    for name, form in low_rank.forms.items():
        if low_rank.scaling is not None and form.factors is not None:
            module = low_rank.targets.modules[name]
            yield from _stored(module, form.factors, low_rank.scaling)
            continue
        flip = name in low_rank.targets.conv1d
        module = f"{PREFIX}{low_rank.targets.modules[name]}"
        rows, columns = layered.base.specs[name].shape
        width, out = (rows, columns) if flip else (columns, rows)
        sides = ("left", "right") if flip else ("right", "left")
        shapes = ((low_rank.rank, width), (out, low_rank.rank))
        for factor, side, shape in zip((_A, _B), sides, shapes, strict=True):
            dtype = form.dtypes[0] if side == "left" else form.dtypes[1]
            data = partial(_padded, form, low_rank.rank, side, flip=flip)
            yield TensorSpec(f"{module}.{factor}.weight", dtype, shape), data


def _stored(module: str, factors: AdapterFactors, scaling: LoraScaling) -> Iterator[Factor]:
    """Yield A [rank, in] and B [out, rank] of a layer: the factors that the pack stores."""
    rank, times = scaling.ranks[module], scaling.times[module]
    width, out = factors.a.words.shape[1], factors.b.words.shape[0]
    sides = ((_A, factors.a, 1, (rank, width)), (_B, factors.b, times, (out, rank)))
    for name, side, number, shape in sides:
        spec = TensorSpec(f"{PREFIX}{module}.{name}.weight", side.dtype, shape)
        yield spec, partial(_kept, side, number, shape)


def _kept(side: StoredFactor, times: int, shape: tuple[int, int]) -> bytes:
    product = multiplied(side, times)
    assert product is not None  # noqa: S101 - `find_scaling` has tried it
    return factor_bytes(product, shape)


def _padded(form: LowForm, rank: int, side: str, *, flip: bool) -> bytes:
    return pad_bytes(form, rank, side=side, flip=flip)[1]


def _of_experts(low_rank: LowRankResult) -> Iterator[Factor]:
    """Yield A [experts · rank, in] and B [out, rank · experts] of each expert parameter."""
    for expert in low_rank.experts:
        rank, dtypes = low_rank.rank, ("F32", "F32")
        data: Callable[[ExpertForms, int, int], bytes] = _of_expert
        if low_rank.scaling is not None:
            tensor = expert.place.tensor
            rank, times = low_rank.scaling.ranks[tensor], low_rank.scaling.times[tensor]
            data = partial(_own_of_expert, times=times)
            factors = next(iter(expert.packed.values()))
            dtypes = factors.a.dtype, factors.b.dtype
        for index, (factor, shape) in enumerate(zip((_A, _B), expert.shapes(rank), strict=True)):
            spec = TensorSpec(
                f"{PREFIX}{expert.place.module}.{factor}.weight", dtypes[index], shape
            )
            yield spec, partial(data, expert, rank, index)


def _of_expert(forms: ExpertForms, rank: int, index: int) -> bytes:
    return forms.factors(rank)[index].astype("<f4").tobytes()


def _own_of_expert(forms: ExpertForms, rank: int, index: int, *, times: int) -> bytes:
    side = forms.own_factors(rank)[index]
    return _kept(side, times if index else 1, side.words.shape)


def _base_of(base: Checkpoint) -> dict[str, Any]:
    """The base as PEFT loads it: by name and revision from the hub's cache, or by path."""
    snapshot = HubSnapshot.at(base.path)
    if snapshot is None or not snapshot.is_in_cache:
        return {"base_model_name_or_path": str(base.path.resolve())}
    model = snapshot.model
    return {"base_model_name_or_path": model.name, "revision": model.revision}


def _config(base: Checkpoint, low_rank: LowRankResult) -> dict[str, Any]:
    """Return the adapter config as PEFT writes it, limited to what vLLM serves.

    That is: one rank for all modules, α = r, and nothing but factors. A packed LoRA keeps its own
    factors and scales. PEFT itself determines `fan_in_fan_out` from each module's class; the flag
    is for other programs.
    """
    rank = low_rank.rank
    scaling = low_rank.scaling or LoraScaling(
        rank, float(rank), False, rank_pattern={}, alpha_pattern={}, ranks={}, times={}
    )
    causal = base.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if causal else None,
        **_base_of(base),
        "target_modules": [low_rank.targets.modules[name] for name in low_rank.forms],
        "target_parameters": [expert.place.tensor for expert in low_rank.experts] or None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": len(low_rank.targets.conv1d) > 0 and not low_rank.experts,
        "use_dora": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
        **scaling.to_config(),
    }
