"""The files of the client that `pack`, `install` and `graft` pass through, by a trace of calls.

`python -m benchmarks.call_trace [TREE]...` runs the commands of each checkout, by default of this
one, on a tiny model, each command in a process of its own. A file counts if one of its functions is
called; what runs while a module is imported does not count. A line counts if it is code of a called
function.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = Path(__file__).resolve().parents[1]
PACKAGE = "skillpm"
REQUEST_PACKAGES = ("cli", "api", "flows")
"""The packages that know a command; the others are libraries that they use."""
WIDTH = 32
SETUP, TRACED = "setup", "traced"
NEW_RELEASE = ("--name", "acme/math", "--version", "1.0.0", "--license", "MIT")
STEPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (TRACED, "pack", ("pack", "base", "tuned", *NEW_RELEASE, "-o", "math.skillpack")),
    (SETUP, "init", ("init", "--base", "base")),
    (SETUP, "publish", ("publish", "math.skillpack")),
    (TRACED, "install", ("install", "acme/math")),
    (TRACED, "graft", ("graft",)),
)
"""The commands in order: whether the command is traced, its name, and its arguments."""
TRACER = '''
import json, sys, threading
from pathlib import Path
root, report, *arguments = sys.argv[1:]
package = str(Path(root, "skillpm")) + "/"
called, exit_code = set(), 0

def imports(frame):
    """Whether a module of the package, or a class of it, is being executed around a frame."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(package):
            return True
        frame = frame.f_back
    return False

def profile(frame, event, argument):
    code = frame.f_code
    if event != "call" or code in called or not code.co_filename.startswith(package):
        return
    if not imports(frame):
        called.add(code)

sys.argv[:] = ["skillpm", *arguments]
from skillpm.cli import main
threading.setprofile(profile)
sys.setprofile(profile)
try:
    main(arguments)
except SystemExit as done:
    exit_code = done.code
finally:
    sys.setprofile(None)
    threading.setprofile(None)
files = sorted({code.co_filename[len(package):] for code in called})
lines = {(code.co_filename, line) for code in called for *_, line in code.co_lines() if line}
Path(report).write_text(json.dumps({"files": files, "lines": len(lines)}))
sys.exit(exit_code)
'''
"""Runs a command in its own process and writes the files of the package that it called."""


@dataclass(frozen=True)
class CallTrace:
    """The files that a command calls, as paths below the package, and their lines of code."""

    command: str
    files: tuple[str, ...]
    lines: int

    def below(self, *folders: str) -> int:
        """The number of files below folders of the package."""
        return sum(file.partition("/")[0] in folders for file in self.files)


def trace(tree: Path, steps: Iterable[tuple[str, str, tuple[str, ...]]] = STEPS) -> list[CallTrace]:
    """Run the commands of a checkout in a temporary folder. Takes some seconds.

    Raises `RuntimeError` if a command fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        _write_models(folder)
        traces = []
        for kind, command, arguments in steps:
            report = _run(tree.resolve(), folder, arguments)
            if kind == TRACED:
                traces.append(CallTrace(command, tuple(report["files"]), report["lines"]))
        return traces


def _run(tree: Path, folder: Path, arguments: tuple[str, ...]) -> dict[str, Any]:
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", TRACER, str(tree), str(report), *arguments],
        env=_environment(tree, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not report.is_file():
        raise RuntimeError(f"`skillpm {' '.join(arguments)}` of `{tree}` failed: {done.stderr}")
    content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return content


def _environment(tree: Path, folder: Path) -> Mapping[str, str]:
    """The environment without a user's settings, and with the packages of the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKILLPM")}
    packages = os.pathsep.join([str(tree), str(tree / "registry")])
    return {
        **kept,
        "PYTHONPATH": packages,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "SKILLPM_HOME": str(folder / "home"),
    }


def _write_models(folder: Path) -> None:
    """A base of three tensors, and a fine-tune that changes one of them."""
    chance = np.random.default_rng(0)
    shape, names = (WIDTH, WIDTH), ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")
    base = {
        f"model.layers.0.{name}.weight": chance.standard_normal(shape).astype(np.float32)
        for name in names
    }
    changed = f"model.layers.0.{names[1]}.weight"
    delta = np.float32(0.01) * chance.standard_normal(shape).astype(np.float32)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    for name, tensors in (("base", base), ("tuned", base | {changed: base[changed] + delta})):
        (folder / name).mkdir()
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
        (folder / name / "config.json").write_text(json.dumps(config), encoding="utf-8")


def table_of(traces: Mapping[str, list[CallTrace]]) -> str:
    """The figures of checkouts in Markdown, one row for each checkout and command."""
    request = ", ".join(f"`{folder}`" for folder in REQUEST_PACKAGES)
    lines = [
        f"| checkout | command | files | of them in {request} | lines of called functions |",
        "|---|---|---:|---:|---:|",
    ]
    for tree, found in traces.items():
        for each in found:
            counts = (len(each.files), each.below(*REQUEST_PACKAGES), f"{each.lines:,}")
            lines.append(f"| {tree} | `{each.command}` | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def main() -> None:
    """Print the figures of checkouts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", type=Path, nargs="*", default=[HERE], help="checkouts")
    trees: list[Path] = parser.parse_args().trees
    print(table_of({tree.resolve().name: trace(tree) for tree in trees}))


if __name__ == "__main__":
    main()
