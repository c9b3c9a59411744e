"""Compare `audit` of a 1 GB graft with `sha256sum` of the same files; find one flipped bit.

`python -m benchmarks.commands.audit [--gb 1] [--runs 3]`. The files are those that `audit` reads:
base, graft and the blobs of the store. Takes a minute and five times the checkpoint's size on disk.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.tools.running import SKILLPM, Ran, medians_side_by_side, run, skillpm
from benchmarks.tools.table import Table, add_output, megabytes, publish


def prepare(folder: Path, gb: float) -> Path:
    """Create a project with a graft; one shard of ten is tuned."""
    run(sys.executable, "-m", "benchmarks.tensors.synthetic", str(folder), "--gb", str(gb))
    home, project = folder / "home", folder / "project"
    project.mkdir()
    base, file = str(folder / "base"), str(folder / "big.skillpack")
    name = ("--name", "acme/big", "--version", "1.0.0", "-o", file)
    skillpm("pack", base, str(folder / "touched"), *name, home=home)
    skillpm("init", "--base", base, cwd=project, home=home)
    skillpm("install", file, cwd=project, home=home)
    skillpm("graft", cwd=project, home=home)
    return project


def flipped(project: Path) -> tuple[str, str]:
    """Flip a bit in the middle of a shard; return its tensor and `audit`'s findings."""
    path = sorted((project / "graft").glob("*.safetensors"))[3]
    with path.open("r+b") as file:
        length = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length - 8))
        header.pop("__metadata__", None)
        hit, place = sorted(header.items())[len(header) // 2]
        file.seek(length + sum(place["data_offsets"]) // 2)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 16]))
    command = (SKILLPM, "audit", "--json")
    environment = {"SKILLPM_HOME": str(project.parent / "home")}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False)
    assert done.returncode == 3, done
    named = [one["tensor"] for one in json.loads(done.stdout)["findings"] if "tensor" in one]
    return hit, ", ".join(named)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="working folder (default: a temporary one)")
    add_output(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="skillpm-bench-") as name:
        folder = Path(name)
        project = prepare(folder, arguments.gb)
        home = folder / "home"
        roots = (folder / "base", project / "graft", home / "store" / "sha256")
        files = [str(path) for root in roots for path in root.rglob("*") if path.is_file()]
        size = sum(Path(path).stat().st_size for path in files)
        peaks: list[int] = []

        def audit() -> Ran:
            ran = skillpm("audit", cwd=project, home=home)
            peaks.append(ran.peak)
            return ran

        (ours, _), (sums, _) = medians_side_by_side(
            arguments.runs, (audit, lambda: run("sha256sum", *files))
        )
        table = Table(
            f"audit of a graft of {arguments.gb:g} GB", ("what", "read", "seconds", "peak memory")
        )
        table.row("skillpm audit", megabytes(size), f"{ours:.2f}", megabytes(max(peaks)))
        table.row("sha256sum of the same files", megabytes(size), f"{sums:.2f}", "-")
        publish(table, arguments.append)
        hit, named = flipped(project)
        print(f"One bit flipped in `{hit}`: audit exits 3 and names `{named}`.")
    peak = statistics.mean(peaks) / 1e6
    print(f"Ratio {ours / sums:.2f}; medians of {arguments.runs}, {peak:.0f} MB.")
    sys.exit(0 if hit == named else "audit did not name the tensor")


if __name__ == "__main__":
    main()
