"""Issue 4, figure 6: an upgrade between two versions that differ in 2 of 12 blocks.

`python -m benchmarks.commands.upgrade [--width 256]`

Both versions are published, the first is installed, and `upgrade` reports the bytes it fetched. The
lower bound is the layers of both blocks, the manifest and the OCI manifest.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from benchmarks.tools.running import skillpm
from benchmarks.tools.table import Table, add_output, publish

if TYPE_CHECKING:
    from collections.abc import Collection

BLOCKS = 12
MOVED = (3, 7)
SCHEMES = {"lossless": (), "graftllm": ("--scheme", "graftllm"), "auto": ("--budget", "10%")}


@dataclass(frozen=True)
class Upgraded:
    """Bytes: both packs, fetched as reported, lower bound, and the store's blobs."""

    before: int
    after: int
    fetched: int
    bound: int
    grown: int
    stored: int


def write_model(folder: Path, width: int, tuned: Collection[tuple[int, int]] = ()) -> Path:
    """Write a llama of 12 blocks; Gaussian noise is added to the blocks in `tuned`."""
    chance = np.random.default_rng(0)
    inner = width * 11 // 4
    shapes = {f"self_attn.{part}_proj": (width, width) for part in "qkvo"}
    shapes |= {"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width)}
    shapes |= {"mlp.down_proj": (width, inner)}
    tensors = {}
    for block in range(BLOCKS):
        for part, shape in shapes.items():
            name = f"model.layers.{block}.{part}.weight"
            tensors[name] = (chance.standard_normal(shape) / 50).astype(np.float16)
            for _, seed in sorted(one for one in tuned if one[0] == block):
                noise = np.random.default_rng((seed, block, len(tensors)))
                moved = noise.standard_normal(shape) / 5000
                tensors[name] = (tensors[name] + moved).astype(np.float16)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    return folder


def measure(folder: Path, width: int, more: tuple[str, ...]) -> Upgraded:
    """Publish two versions, install the first, upgrade."""
    home, project = folder / "home", folder / "project"
    project.mkdir(parents=True)
    first = [(block, 1) for block in range(BLOCKS)]
    base = str(write_model(folder / "base", width))
    models = {
        "1.0.0": write_model(folder / "first", width, first),
        "1.1.0": write_model(folder / "second", width, [*first, *((b, 2) for b in MOVED)]),
    }
    for version, tuned in models.items():
        file = str(folder / f"{version}.skillpack")
        named = ("--name", "acme/math", "--version", version, "-o", file)
        skillpm("pack", base, str(tuned), *named, *more, home=home)
        skillpm("publish", file, home=home)
    skillpm("init", "--base", base, cwd=project, home=home)
    before = skillpm("install", "acme/math@=1.0.0", cwd=project, home=home).document
    old = blobs_of(home, before["added"][0]["digest"])
    after = skillpm("upgrade", "acme/math", "--to", "1.0.0", cwd=project, home=home).document
    assert not after["changed"], "the requirement is exact: nothing may move"
    text = (project / "skillpm.toml").read_text()
    (project / "skillpm.toml").write_text(text.replace("=1.0.0", "^1"))
    held = stored_bytes(home)
    done = skillpm("upgrade", cwd=project, home=home).document
    new = blobs_of(home, done["changed"][0]["digest"])
    stored = stored_bytes(home)
    bound = sum(size for digest, size in new.items() if digest not in old)
    both = (sum(old.values()), sum(new.values()))
    return Upgraded(*both, done["fetched_bytes"], bound, stored - held, stored)


def stored_bytes(home: Path) -> int:
    """The size of all blobs of the store in bytes."""
    return sum(p.stat().st_size for p in (home / "store" / "sha256").rglob("*") if p.is_file())


def blobs_of(home: Path, digest: str) -> dict[str, int]:
    """The blobs of a pack in the store: digest to size."""
    path = home / "store" / "sha256" / digest[7:9] / digest[7:]
    image = json.loads(path.read_bytes())
    parts = [image["config"], *image["layers"]]
    return {digest: path.stat().st_size} | {part["digest"]: part["size"] for part in parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    add_output(parser)
    arguments = parser.parse_args()
    table = Table(f"An upgrade that changes {len(MOVED)} of {BLOCKS} blocks",
                  ("scheme", "pack 1.1.0", "fetched", "of the pack", "new in the store",
                   "what must come", "store / both packs"))  # fmt: skip
    for scheme, more in SCHEMES.items():
        with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
            found = measure(Path(name), arguments.width, more)
        table.row(scheme, f"{found.after / 1e3:,.1f} kB", f"{found.fetched / 1e3:,.1f} kB",
                  f"{found.fetched / found.after:.1%}", f"{found.grown / 1e3:,.1f} kB",
                  f"{found.bound / 1e3:,.1f} kB",
                  f"{found.stored / (found.before + found.after):.2f}")  # fmt: skip
    publish(table, arguments.append)


if __name__ == "__main__":
    main()
