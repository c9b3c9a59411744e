"""Three golden packs of one base, merged by each method.

Run as a script, it prints the roots as JSON: `golden_merging.py FOLDER WORKERS`.
"""

import json
import sys
from pathlib import Path

from golden_worlds import HERE, WIDE, write_model

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.flows.packs.composition import composed_identity
from skillpm.spec.merging import METHODS, Merging

PACKS = {"graftllm-842": 1.0, "lora": 1.0, "dora": 0.75}


def merged_roots(folder: Path, workers: int) -> dict[str, str]:
    """The root of base + set by each method, decoded in this process."""
    model = open_checkpoint(write_model(folder / "base.safetensors", WIDE, tuned=False))
    identity = identify(model, workers=workers)
    applied = []
    for name, weight in PACKS.items():
        opened = open_pack(HERE / f"{name}.skillpack")
        applied.append(WeightedPack(OpenPack.of(opened.manifest, opened.open_layer), weight))
    found = {}
    for method in METHODS:
        composition = Composition(model, applied, merging=Merging(method))
        done = composed_identity(composition, identity, workers=workers, advance=lambda _n: None)
        found[method] = str(done.root)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(merged_roots(Path(sys.argv[1]), int(sys.argv[2]))))
