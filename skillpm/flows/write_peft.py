"""Writing a low-rank form as an adapter that PEFT loads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from skillpm.adapters.config import CONFIG, WEIGHTS
from skillpm.adapters.keys import PREFIX
from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.write import write_shard
from skillpm.delta.extract import LowForm, pad_bytes
from skillpm.flows.peft import Lowered, Sum
from skillpm.flows.peft_targets import check_loads
from skillpm.spec import json
from skillpm.spec.dtypes import TensorSpec


_FACTORS = ("lora_A", "lora_B")


def write_peft(folder: Path, whole: Sum, lowered: Lowered, workers: int) -> None:
    """Write the adapter's two files into an empty folder.

    Raises `GraftError` where PEFT would not load what is to be written.
    """
    specs: dict[str, TensorSpec] = {}
    sides: dict[str, tuple[LowForm, str, bool]] = {}
    for name, form in lowered.forms.items():
        flip = name in lowered.targets.conv1d
        module = f"{PREFIX}{lowered.targets.modules[name]}"
        rows, columns = whole.base.specs[name].shape
        width, out = (rows, columns) if flip else (columns, rows)
        shapes = {"lora_A": (lowered.rank, width), "lora_B": (out, lowered.rank)}
        for factor, side in (("lora_A", "right"), ("lora_B", "left")):
            part = {"right": "left", "left": "right"}[side] if flip else side
            key = f"{module}.{factor}.weight"
            dtype = form.dtypes[0] if part == "left" else form.dtypes[1]
            specs[key] = TensorSpec(key, dtype, shapes[factor])
            sides[key] = (form, part, flip)

    experts = {f"{PREFIX}{each.place.module}": each for each in lowered.experts}
    for module, each in experts.items():
        for factor, shape in zip(_FACTORS, each.shapes(lowered.rank), strict=True):
            key = f"{module}.{factor}.weight"
            specs[key] = TensorSpec(key, "F32", shape)

    def chunks(key: str) -> Any:
        module, factor = key.removesuffix(".weight").rsplit(".", 1)
        if module in experts:
            a, b = experts[module].factors(lowered.rank)
            yield (a if factor == _FACTORS[0] else b).astype("<f4").tobytes()
            return
        form, part, flip = sides[key]
        yield pad_bytes(form, lowered.rank, side=part, flip=flip)[1]

    config = _config(whole.base, lowered)
    check_loads(whole.base, config, specs)
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


def _config(base: Checkpoint, lowered: Lowered) -> dict[str, Any]:
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
