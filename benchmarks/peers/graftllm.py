"""Figure 2: `graftllm` on the fine-tuned encoder: bytes, error by kind of module, MRR kept.

`python -m benchmarks.peers.graftllm [--models FOLDER] [--sweep]`. The MRR is that of held-out
functions of the code search example. Takes half a minute per row.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tools.running import skillpm
from benchmarks.tools.table import Table, add_output, megabytes, publish
from examples.code_search.evaluate import mrr
from examples.code_search.prepare import Prepared, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("embedding", "attention", "mlp", "norm")
SHORT = ((0.1, 0.95, "8/4/2"), (0.1, 0.95, "8/3/2"))


def settings(*, sweep: bool) -> Iterator[tuple[float, float, str]]:
    """α, β and columns of each row."""
    yield from SHORT
    if sweep:
        for columns in ("8/4/2", "8/3/2"):
            for alpha in (0.05, 0.1, 0.2):
                for energy in (0.9, 0.95):
                    if (alpha, energy, columns) not in SHORT:
                        yield alpha, energy, columns


def cut(folder: Path, prepared: Prepared, options: dict[str, str]) -> tuple[dict[str, Any], Path]:
    """Pack with `options`, install into a new project, graft; return the manifest and the graft."""
    home, project, file = folder / "home", folder / "project", folder / "one.skillpack"
    project.mkdir(parents=True)
    base, tuned = str(prepared.base.absolute()), str(prepared.tuned.absolute())
    named = ("--name", "acme/bench", "--version", "1.0.0", "-o", str(file))
    flags = [part for pair in options.items() for part in pair]
    skillpm("pack", base, tuned, *named, *flags, home=home)
    found = skillpm("inspect", str(file), home=home).document
    skillpm("init", "--base", base, cwd=project, home=home)
    skillpm("publish", str(file), cwd=project, home=home)
    skillpm("install", "acme/bench", cwd=project, home=home)
    skillpm("graft", cwd=project, home=home)
    return {**found["manifest"]["compression"], "file": file.stat().st_size}, project / "graft"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models",
        type=Path,
        default=Path("demo/benchmark"),
        help="folder with base/ and tuned/, trained if they are missing",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="try twelve settings of α, β and columns"
    )
    add_output(parser)
    arguments = parser.parse_args()
    prepared = prepare(arguments.models)
    held_out = prepared.corpus.held_out
    base, tuned = (mrr(folder, held_out) for folder in (prepared.base, prepared.tuned))
    dense = (prepared.tuned / "model.safetensors").stat().st_size
    errors = tuple(f"err {kind}" for kind in KINDS)
    columns = ("model", "file", "to 1", "rel. error", *errors, "MRR", "gain kept")
    table = Table(f"graftllm on the fine-tuned encoder, {len(held_out)} functions", columns)
    blank = ("-",) * (len(KINDS) + 1)
    table.row("base", "-", "-", *blank, f"{base:.4f}", "0.0%")
    table.row("tuned", megabytes(dense), "1.0", *blank, f"{tuned:.4f}", "100.0%")
    for alpha, energy, bits in settings(sweep=arguments.sweep):
        options = {"--alpha": str(alpha), "--energy": str(energy), "--columns": bits}
        with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
            found, graft = cut(Path(name), prepared, {"--scheme": "graftllm", **options})
            now = mrr(graft, held_out)
        kinds = [f"{found['modules'][kind]['relative_error'] or 0:.3f}" for kind in KINDS]
        shown = (megabytes(found["file"]), f"{dense / found['file']:.1f}")
        kept = f"{(now - base) / (tuned - base):.1%}"
        error = f"{found['relative_error']:.3f}"
        table.row(f"α {alpha} β {energy} {bits}", *shown, error, *kinds, f"{now:.4f}", kept)
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
