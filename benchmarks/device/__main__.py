"""Measure what a device is worth; under 10 minutes on a machine with a GPU.

`python -m benchmarks.device BASE TUNED [--device cuda] [--calibration FILE] [--dir DIR]`. BASE and
TUNED are model folders: SmolLM2-135M and a fine-tune of it. Parts: packs in all schemes, live
skills, the tests marked `cuda`, one layer with the shapes of an 8B model times 32. Each finished
part is kept in DIR/results.json, and a later run of the same settings continues after it.
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.device.layer import measure_layer
from benchmarks.device.live import measure_live
from benchmarks.device.packing import pack_all
from benchmarks.device.results import Part, run_parts
from skillpm.delta.encoding.torch_device import ComputeDevice

_LIVE_PACKS = ("scheme-0.skillpack", "scheme-1.skillpack")
_TESTS = ("tests/delta/auto", "tests/live", "tests/journeys/test_journey_auto.py")


def marked_tests() -> dict[str, Any]:
    """Run the tests marked `cuda`; return the last line of pytest. A failure ends the benchmark."""
    command = (sys.executable, "-m", "pytest", "-q", "-m", "cuda", *_TESTS)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout)
    return {"pytest": done.stdout.strip().rpartition("\n")[2]}


def parts_of(arguments: argparse.Namespace, device: ComputeDevice) -> dict[str, Part]:
    """The parts in the order in which they run."""
    folder, base = arguments.dir, arguments.base
    packs = [folder / name for name in _LIVE_PACKS]
    packing = partial(
        pack_all,
        folder,
        base,
        arguments.tuned,
        device.name,
        arguments.budget,
        arguments.calibration,
    )
    return {
        "packs": packing,
        "live": partial(measure_live, folder, base, packs, device.name),
        "layer": partial(measure_layer, device, arguments.width),
        **({} if device.is_cpu else {"tests": marked_tests}),
    }


def main(words: list[str] | None = None) -> None:
    """Run the parts that are missing and print all results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budget", default="5%")
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--width", type=int, default=4096, help="width of the layer")
    parser.add_argument("--dir", type=Path, default=Path("benchmarks/.cache/device"))
    arguments = parser.parse_args(words)
    device = ComputeDevice.find(arguments.device)
    for name in ("base", "tuned", "dir", "calibration"):  # commands run in other folders
        path = getattr(arguments, name)
        setattr(arguments, name, path and path.resolve())
    arguments.dir.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) for key, value in vars(arguments).items()}
    settings["torch"] = torch.__version__
    if not device.is_cpu:
        settings["hardware"] = torch.cuda.get_device_name(device.name)
    results = run_parts(arguments.dir / "results.json", settings, parts_of(arguments, device))
    print(json.dumps({**settings, **results}, indent=2))


if __name__ == "__main__":
    main()
