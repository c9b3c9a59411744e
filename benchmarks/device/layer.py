"""One layer with the shapes of an 8B Llama: survey and encoding on a device, times 32."""

import io
import time
from functools import partial

import torch

from skillpm.delta.auto.encode_choice import encode_choice
from skillpm.delta.auto.metric import ErrorMetric
from skillpm.delta.auto.points import TensorSurvey
from skillpm.delta.auto.rows import TensorRows
from skillpm.delta.auto.survey import survey_tensor
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.torch_device import ComputeDevice
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import Chunk
from skillpm.spec.dtypes import TensorSpec

LAYERS = 32
_RANK, _NOISE = 64, 1e-5


def shapes_of(width: int) -> dict[str, tuple[int, int]]:
    """The matrices of one layer; a width of 4096 gives those of Llama 3 8B."""
    inner, grouped = 7 * width // 2, width // 4
    return {
        "self_attn.q_proj": (width, width),
        "self_attn.k_proj": (grouped, width),
        "self_attn.v_proj": (grouped, width),
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }


def measure_layer(device: ComputeDevice, width: int) -> dict[str, float]:
    """Survey and encode every matrix of one layer; return seconds, and those of all layers."""
    seconds = {"survey": 0.0, "encode": 0.0}
    stored = 0
    for number, (name, shape) in enumerate(shapes_of(width).items()):
        pair, rows = _tensor(f"model.layers.0.{name}.weight", shape, number, device)
        metric = ErrorMetric.flat(shape, 1.0)
        started = time.perf_counter()
        survey = survey_tensor(pair, rows, metric)
        surveyed = time.perf_counter()
        stored += _encode(rows, metric, survey)
        seconds["survey"] += surveyed - started
        seconds["encode"] += time.perf_counter() - surveyed
    layer = sum(seconds.values())
    return {**seconds, "layer": layer, "layers": LAYERS * layer, "bytes": float(stored)}


def _encode(rows: TensorRows, metric: ErrorMetric, survey: TensorSurvey | None) -> int:
    """Encode a tensor at the middle of its hull; return the bytes."""
    if survey is None:
        return 0
    lossy = [point for point in survey.points if point.choice.family not in ("zero", "lossless")]
    coded = encode_choice(rows, metric, lossy[len(lossy) // 2].choice) if lossy else None
    spool = io.BytesIO()
    if coded is not None:
        coded.write(rows.spec, PayloadWriter(spool))
    return spool.tell()


def _tensor(
    name: str, shape: tuple[int, int], seed: int, device: ComputeDevice
) -> tuple[Pair, TensorRows]:
    """A bf16 matrix, changed by a product of low rank and a little noise."""
    torch.manual_seed(seed)
    rank = min(_RANK, *shape)
    before = (0.02 * torch.randn(shape)).bfloat16()
    product = torch.randn(shape[0], rank) @ torch.randn(rank, shape[1])
    delta = 2e-4 * rank**-0.5 * product + _NOISE * torch.randn(shape)
    after = (before.float() + delta).bfloat16()
    spec = TensorSpec(name, "BF16", shape)
    both = [each.reshape(-1).view(torch.uint16).numpy() for each in (before, after)]
    chunk: Chunk = (both[0], both[1])
    return Pair(name, spec, spec), TensorRows(spec, partial(iter, [chunk]), device)
