"""Writing a low-rank form as an adapter that PEFT loads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from skillpm.adapters.config import CONFIG, WEIGHTS
from skillpm.adapters.expert_forms import ExpertForms
from skillpm.adapters.keys import PREFIX
from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.write import write_shard
from skillpm.delta.encode.low_rank_form import LowForm, pad_bytes
from skillpm.flows.graft.peft import LayeredDelta, LowRankResult
from skillpm.flows.graft.peft_targets import check_loads
from skillpm.spec import json
from skillpm.spec.dtypes import TensorSpec

_A, _B = "lora_A", "lora_B"
Factor = tuple[TensorSpec, Callable[[], bytes]]
"""A factor of an adapter, and its bytes."""


def write_peft(folder: Path, whole: LayeredDelta, lowered: LowRankResult, workers: int) -> None:
    """Write the adapter's two files into an empty folder.

    Raises `GraftError` where PEFT would not load what is to be written.
    """
    every = [*_of_layers(whole, lowered), *_of_experts(lowered)]
    factors = {spec.name: (spec, data) for spec, data in every}
    specs = {key: spec for key, (spec, _) in factors.items()}
    config = _config(whole.base, lowered)
    check_loads(whole.base, config, specs)

    def chunks(key: str) -> Iterator[bytes]:
        yield factors[key][1]()

    with ThreadPoolExecutor(workers) as pool:
        write_shard(
            folder / WEIGHTS,
            specs,
            chunks,
            metadata={"format": "pt"},
            pool=pool,
            advance=lambda _bytes: None,
        )
    (folder / CONFIG).write_bytes(json.pretty(config))


def _of_layers(whole: LayeredDelta, lowered: LowRankResult) -> Iterator[Factor]:
    """A [rank, in] and B [out, rank] of each layer; of one that stores [in, out], turned."""
    for name, form in lowered.forms.items():
        flip = name in lowered.targets.conv1d
        module = f"{PREFIX}{lowered.targets.modules[name]}"
        rows, columns = whole.base.specs[name].shape
        width, out = (rows, columns) if flip else (columns, rows)
        sides = ("left", "right") if flip else ("right", "left")
        shapes = ((lowered.rank, width), (out, lowered.rank))
        for factor, side, shape in zip((_A, _B), sides, shapes, strict=True):
            dtype = form.dtypes[0] if side == "left" else form.dtypes[1]
            data = partial(_padded, form, lowered.rank, side, flip=flip)
            yield TensorSpec(f"{module}.{factor}.weight", dtype, shape), data


def _padded(form: LowForm, rank: int, side: str, *, flip: bool) -> bytes:
    return pad_bytes(form, rank, side=side, flip=flip)[1]


def _of_experts(lowered: LowRankResult) -> Iterator[Factor]:
    """A [experts · rank, in] and B [out, rank · experts] of each parameter of experts."""
    for each in lowered.experts:
        shapes = each.shapes(lowered.rank)
        for place, (factor, shape) in enumerate(zip((_A, _B), shapes, strict=True)):
            key = f"{PREFIX}{each.place.module}.{factor}.weight"
            yield TensorSpec(key, "F32", shape), partial(_of_expert, each, lowered.rank, place)


def _of_expert(forms: ExpertForms, rank: int, place: int) -> bytes:
    return forms.factors(rank)[place].astype("<f4").tobytes()


def _config(base: Checkpoint, lowered: LowRankResult) -> dict[str, Any]:
    """As PEFT writes it, within what vLLM serves: one rank, α = r, no more than factors.

    PEFT decides `fan_in_fan_out` by each module's class; the one flag is for other readers.
    """
    causal = base.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if causal else None,
        "base_model_name_or_path": str(base.path.resolve()),
        "r": lowered.rank,
        "lora_alpha": lowered.rank,
        "target_modules": [lowered.targets.modules[name] for name in lowered.forms],
        "target_parameters": [each.place.tensor for each in lowered.experts] or None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": len(lowered.targets.conv1d) > 0 and not lowered.experts,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
