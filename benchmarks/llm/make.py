"""Make the base and the fine-tunes that are missing: `python -m benchmarks.llm.make [NAME]…`.

A full fine-tune of 30 steps takes 5 minutes of one core and 3.5 GB of memory. An interrupted one
continues from its last checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.finetunes.progress import Progress
from benchmarks.llm.places import CACHE
from benchmarks.llm.settings import LORA, TUNINGS
from benchmarks.llm.tunes import base, lora, tune

if TYPE_CHECKING:
    from benchmarks.finetunes.cache import Made

NAMES = (*TUNINGS, LORA.name)


def make(cache: Path, name: str) -> Made:
    """One fine-tune by its name, made now or earlier."""
    if name == LORA.name:
        return lora(cache, LORA, advance=Progress(name))
    return tune(cache, TUNINGS[name], advance=Progress(name))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm.make", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's choice)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    base(arguments.cache)
    for name in arguments.names or NAMES:
        found = make(arguments.cache, name)
        state = "there already" if found.reused else f"made in {found.seconds:.0f} s"
        print(f"{name}: {state}, {found.folder}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
