"""Issue 4, figure 3: time of `install` of 20 locked skills whose packs are in the store.

`python -m benchmarks.commands.install [--runs 20] [--skills 20] [--uv FILE]`

The project is like a fresh clone: it has a lock and a project file, but no environment. Each run
creates a generation of 20 skills; the state is removed between runs. The skills are fine-tunes of
all 219 tensors of a llama with 24 layers. The layers are tiny, because the size of the manifests
matters here and not the size of the weights.

The comparison, in alternating runs, is `uv sync --offline --frozen` of the same number of tiny
wheels from uv's cache into an empty virtual environment. It runs if uv is on the PATH or named by
`--uv`. The exit code is 1 if a run imports torch or the median reaches 300 ms.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from benchmarks.commands.startup import import_costs
from benchmarks.tools.running import Ran, medians_side_by_side, run, skillpm
from benchmarks.tools.table import Table, add_output, publish

LIMIT = 0.3
LAYERS = 24
_PARTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm",
          "post_attention_layernorm")  # fmt: skip


@dataclass(frozen=True)
class Clone:
    """A project with a complete lock and store, and its home."""

    project: Path
    home: Path

    def install(self) -> Ran:
        """Install as after `git clone`."""
        shutil.rmtree(self.project / ".skillpm", ignore_errors=True)
        return skillpm("install", cwd=self.project, home=self.home)

    def again(self) -> Ran:
        """Install again; nothing changes."""
        return skillpm("install", cwd=self.project, home=self.home)


def write_model(folder: Path, seed: int) -> Path:
    """Write a llama of 24 tiny layers: the base for seed 0, a fine-tune for any other seed."""
    folder.mkdir()
    names = [f"model.layers.{n}.{part}.weight" for n in range(LAYERS) for part in _PARTS]
    names += ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
    random, noise = np.random.default_rng(0), np.random.default_rng(seed)
    tensors = {name: random.standard_normal((16, 16)).astype(np.float16) for name in names}
    if seed:
        tensors = {
            name: tensor + noise.standard_normal(tensor.shape).astype(np.float16) / np.float16(100)
            for name, tensor in tensors.items()
        }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    return folder


def make_clone(folder: Path, skills: int) -> Clone:
    """Create a project whose skills are locked and in the store."""
    clone = Clone(folder / "project", folder / "home")
    clone.project.mkdir()
    base, files = str(write_model(folder / "base", 0)), []
    for number in range(1, skills + 1):
        files.append(str(folder / f"{number}.skillpack"))
        named = ("--name", f"acme/skill-{number:02}", "--version", "1.0.0", "-o", files[-1])
        skillpm("pack", base, str(write_model(folder / f"{number}", number)), *named,
                home=clone.home)  # fmt: skip
    skillpm("init", "--base", base, cwd=clone.project, home=clone.home)
    skillpm("install", *files, cwd=clone.project, home=clone.home)
    return clone


class Uv:
    """A uv project with the same number of tiny wheels, locked and cached."""

    def __init__(self, uv: str, folder: Path, wheels: int) -> None:
        self._uv = uv
        self._folder = folder / "uv"
        shelf = folder / "wheels"
        shelf.mkdir()
        self._folder.mkdir()
        names = [f"tiny-{number:02}" for number in range(1, wheels + 1)]
        for name in names:
            write_wheel(shelf, name)
        listed = ", ".join(f'"{name}"' for name in names)
        (self._folder / "pyproject.toml").write_text(
            f'[project]\nname = "all"\nversion = "1.0.0"\nrequires-python = ">=3.11"\n'
            f"dependencies = [{listed}]\n[tool.uv]\npackage = false\nno-index = true\n"
            f'find-links = ["{shelf}"]\n'
        )
        self._python = ("--python", sys.executable, "--no-python-downloads")
        self._cache = ("--cache-dir", str(folder / "uv-cache"), "--quiet")
        self._run("sync")

    def _run(self, *words: str) -> Ran:
        return run(self._uv, *words, *self._python, *self._cache, cwd=self._folder)

    def sync(self) -> Ran:
        """Install all wheels from the cache into an empty virtual environment."""
        shutil.rmtree(self._folder / ".venv")
        run(self._uv, "venv", *self._python, *self._cache, cwd=self._folder)
        return self._run("sync", "--frozen", "--offline")

    def again(self) -> Ran:
        """Sync again; nothing changes."""
        return self._run("sync", "--frozen", "--offline")


def write_wheel(shelf: Path, name: str) -> None:
    """Write a wheel of one module."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-1.0.0.dist-info"
    with zipfile.ZipFile(shelf / f"{module}-1.0.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", "X = 1\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        tags = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")


def imports_torch(clone: Clone) -> bool:
    """Whether an install imports torch."""
    found = import_costs(clone.project, clone.home, "install")
    return any(name.partition(".")[0] == "torch" for _, _, name in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--skills", type=int, default=20)
    parser.add_argument("--uv", metavar="FILE", default=shutil.which("uv"))
    add_output(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
        clone = make_clone(Path(name), arguments.skills)
        count = f"{arguments.skills} locked"
        peers = {f"skillpm install, {count}": clone.install, "skillpm install again": clone.again}
        if arguments.uv:
            uv = Uv(arguments.uv, Path(name), arguments.skills)
            version = subprocess.run([arguments.uv, "--version"], capture_output=True, check=True)
            said = version.stdout.decode().split("(")[0].strip()
            peers |= {f"{said} sync, {count}": uv.sync, f"{said} sync again": uv.again}
        found = medians_side_by_side(arguments.runs, list(peers.values()))
        heavy = imports_torch(clone)
    table = Table(f"Install from store and cache, {arguments.runs} fresh processes",
                  ("command", "median", "least"))  # fmt: skip
    for peer, (median, least) in zip(peers, found, strict=True):
        table.row(peer, f"{median * 1e3:.0f} ms", f"{least * 1e3:.0f} ms")
    publish(table, arguments.append)
    sys.exit("torch was imported" if heavy else 1 if found[0][0] >= LIMIT else 0)


if __name__ == "__main__":
    main()
