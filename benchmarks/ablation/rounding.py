"""How entries of a fine-tune in 16 bits are best rounded: error feedback, and levels.

`python -m benchmarks.ablation.rounding BASE TUNED TEXT [--tensors NAME,…]`. Linear layers are
coded by `grid` under the metric of their inputs on TEXT (JSON lines), with error feedback (GPTQ)
and without; and without a metric, with levels that are centroids of all entries, or of those whose
ulp is below the step. Prints bits per weight, and the share of the distortion that is left before
and after the rounding of a graft. Takes two minutes on SmolLM2-135M.
"""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.ablation.matrices import Matrix, matrices
from benchmarks.tools.table import Table, add_output, publish
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.auto.dense import code_grid
from skillpm.delta.auto.lattice import ulps_of
from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.tensors.rounding import from_float64, to_float64

DOCUMENTS, TOKENS = 10, 256
TENSORS = (
    "model.layers.5.mlp.up_proj.weight,model.layers.20.self_attn.q_proj.weight,"
    "model.layers.12.mlp.down_proj.weight"
)


def input_metrics(base: Path, text: Path, tensors: list[str]) -> dict[str, MetricFactor]:
    """The mean outer product of the inputs of each linear layer, damped."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    seen: dict[str, torch.Tensor] = {}
    for name in tensors:
        module = model.get_submodule(name.removesuffix(".weight"))
        module.register_forward_pre_hook(
            lambda _module, inputs, name=name: seen.update({name: inputs[0].flatten(0, 1)})
        )
    lines = text.read_text(encoding="utf-8").splitlines()[:DOCUMENTS]
    ids = [tokenizer(json.loads(line)["text"])["input_ids"][:TOKENS] for line in lines]
    with torch.no_grad():
        model(torch.tensor([each for each in ids if len(each) == TOKENS]))
    return {name: MetricFactor.of(x.T @ x / len(x)) for name, x in seen.items()}


def measured(
    matrix: Matrix,
    metric: ErrorMetric,
    step: float,
    *,
    feedback: bool = False,
    ulps: torch.Tensor | None = None,
) -> tuple[str, ...]:
    """Bits per weight, and the distortion before and after the rounding of a graft."""
    shape, dtype = matrix.spec.shape, matrix.spec.dtype
    delta = torch.from_numpy(matrix.delta.reshape(shape)).float()
    coded = code_grid(delta, metric, step, feedback=feedback, ulps=ulps)
    if coded is None:
        return "0.000", "1.0000", "1.0000"
    spool = io.BytesIO()
    coded = replace(coded, exponents=exponents_of(matrix.reference, dtype))
    coded.write(matrix.spec, PayloadWriter(spool))
    decoded = coded.decoded_delta().reshape(-1)
    words = from_float64(matrix.before + decoded, dtype)[0]
    rounded = to_float64(words, dtype) - matrix.before
    energy = metric.distortion(delta)
    errors = [
        metric.distortion(delta - torch.from_numpy(each.reshape(shape)).float()) / energy
        for each in (decoded, rounded)
    ]
    return f"{8 * spool.tell() / matrix.delta.size:.3f}", *(f"{error:.4f}" for error in errors)


def levels(matrix: Matrix, octave: float) -> tuple[str, ...]:
    """Bits per weight, and the distortion after rounding with both kinds of levels."""
    shape = matrix.spec.shape
    metric = ErrorMetric.flat((shape[0], shape[1]), 1.0)
    ulps = ulps_of(exponents_of(matrix.reference, matrix.spec.dtype), matrix.spec.dtype)
    plain = measured(matrix, metric, 2.0**-octave)
    aware = measured(matrix, metric, 2.0**-octave, ulps=ulps.reshape(shape))
    return plain[0], plain[2], aware[2]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--tensors", default=TENSORS)
    parser.add_argument("--steps", default="11,12,13", help="octaves below 1")
    add_output(parser)
    arguments = parser.parse_args()
    names = arguments.tensors.split(",")
    metrics = input_metrics(arguments.base, arguments.text, names)
    headings = (
        "tensor",
        "step",
        "with: bits",
        "before",
        "after",
        "without: bits",
        "before",
        "after",
    )
    table = Table("Grids with and without error feedback", headings)
    centroids = Table("Levels of grids", ("tensor", "step", "bits", "of all", "below the step"))
    for matrix in matrices(open_checkpoint(arguments.base), open_checkpoint(arguments.tuned)):
        if matrix.spec.name not in metrics:
            continue
        columns = metrics[matrix.spec.name]
        metric = ErrorMetric(MetricFactor(torch.ones(matrix.spec.shape[0])), columns)
        mean = float(columns.diagonal.log().mean().exp()) ** 0.5
        for octave in map(int, arguments.steps.split(",")):
            step = 2.0**-octave * mean
            both = (measured(matrix, metric, step, feedback=on) for on in (True, False))
            cells = [cell for each in both for cell in each]
            table.row(matrix.spec.name, f"2^-{octave}", *cells)
            for half in (octave, octave + 0.5):
                centroids.row(matrix.spec.name, f"2^-{half}", *levels(matrix, half))
    publish(table, arguments.append)
    publish(centroids, arguments.append)


if __name__ == "__main__":
    main()
