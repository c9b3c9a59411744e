"""Repeat the layers of a base and of its fine-tune until each model has about N bytes.

`python -m benchmarks.llm.repeated BASE TUNED OUT BYTES` writes OUT/base and OUT/tuned: the same
embedding, and the layers over and over, so that a byte of a larger model costs what a byte of the
original does, if time is linear in the size. Uses memory for one tensor.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.llm.places import WEIGHTS
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.checkpoint.write import write_shard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillpm.spec.dtypes import TensorSpec

_LAYER = re.compile(r"^(.*\.layers\.)(\d+)(\..*)$")


@dataclass(frozen=True)
class Repeated:
    """A checkpoint with as many layers as asked for, of another's layers."""

    source: Checkpoint
    layers: int

    def specs(self) -> dict[str, TensorSpec]:
        """All tensors by name."""
        found = {}
        own = layers_of(self.source)
        for name, spec in self.source.specs.items():
            match = _LAYER.match(name)
            if match is None:
                found[name] = spec
                continue
            for number in range(int(match[2]), self.layers, own):
                other = f"{match[1]}{number}{match[3]}"
                found[other] = replace(spec, name=other)
        return found

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a tensor, read from the layer that it repeats."""
        match = _LAYER.match(name)
        if match is None:
            return self.source.chunks(name)
        number = int(match[2]) % layers_of(self.source)
        return self.source.chunks(f"{match[1]}{number}{match[3]}")


def layers_of(model: Checkpoint) -> int:
    """The number of layers of a checkpoint."""
    return 1 + max(int(match[2]) for name in model.specs if (match := _LAYER.match(name)))


def layers_for(model: Checkpoint, size: int) -> int:
    """The number of layers with which the checkpoint comes nearest to `size` bytes."""
    rest = sum(spec.nbytes for name, spec in model.specs.items() if not _LAYER.match(name))
    all_layers = sum(spec.nbytes for spec in model.specs.values()) - rest
    return max(1, round((size - rest) * layers_of(model) / all_layers))


def write(folder: Path, out: Path, layers: int) -> None:
    """Write the model of `folder` with `layers` layers; its other files are copied."""
    source = Repeated(open_checkpoint(folder), layers)
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns(WEIGHTS))
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = layers
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    with ThreadPoolExecutor(1) as pool:
        write_shard(
            out / WEIGHTS,
            source.specs(),
            source.chunks,
            metadata={"format": "pt"},
            pool=pool,
            advance=lambda _bytes: None,
        )


def main() -> None:
    base, tuned, out, size = sys.argv[1:]
    layers = layers_for(open_checkpoint(Path(base)), int(size))
    write(Path(base), Path(out) / "base", layers)
    write(Path(tuned), Path(out) / "tuned", layers)


if __name__ == "__main__":
    main()
