"""Domains learnt one after the other: what sequence, LoRA, EWC, replay, merges and packs keep.

`python -m benchmarks.continual [--train] [--table]`: an hour and a half on two cores, to be cut
off and called again at will. What is there already, of the same data and settings, is taken up.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.continual.train import train

CACHE = Path(__file__).parents[1] / ".cache" / "continual"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--threads", type=int, help="of torch; its own choice by default")
    parser.add_argument("--train", action="store_true", help="only train")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    train(asked.cache)


if __name__ == "__main__":
    main()
