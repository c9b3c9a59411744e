"""Convert SmolLM2-135M-Instruct: `python -m examples.smollm2 OUT`; README.md says what it needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.errors import DemoError
from examples.smollm2.convert import ROOT, convert


def main() -> int:
    """Write the folder; return 0 only if it has the expected root."""
    parser = argparse.ArgumentParser(prog="python -m examples.smollm2", description=__doc__)
    parser.add_argument("out", metavar="OUT", type=Path, help="model folder to write")
    out = parser.parse_args().out
    try:
        convert(out)
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {ROOT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
