"""The commands that are measured: skillpm's on a pair of models, and what they are compared with.

Each is a process. Every command of skillpm starts with a home that has compiled kernels and
nothing else, so it hashes both models.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from benchmarks.llm.places import WEIGHTS
from benchmarks.llm.runs import Cost
from benchmarks.tools.running import SKILLPM, run, skillpm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.tools.running import Ran

COPY, HASH, PLANES, PLANES_BACK = "cp + sync", "sha256sum", "planes, zstd -3", "planes, back"
PACK, FAST, VERIFY, GRAFT = "pack", "pack --effort fast", "verify --base", "graft"
AUTO, CALIBRATED = "pack --budget 5%", "pack --budget 5% --calibration"
KEPT_IN_HOME = "kernels"
_SYNC = "import os,sys;[os.fsync(os.open(e,os.O_RDONLY)) for e in os.scandir(sys.argv[1])]"


@dataclass(frozen=True)
class Walk:
    """One pair of models; `folder` keeps the packs between commands, and between runs."""

    folder: Path
    base: Path
    tuned: Path
    calibration: Path

    @property
    def home(self) -> Path:
        """The home of skillpm."""
        return self.folder / "home"

    @property
    def packed(self) -> Path:
        """The lossless pack."""
        return self.folder / "lossless.skillpack"

    def fresh(self, name: str) -> Path:
        """A path in the folder at which nothing exists."""
        path = self.folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        return path

    def skillpm(self, *arguments: str, workers: int, cwd: Path | None = None) -> Ran:
        """Run a command with the home as it is."""
        return skillpm(*arguments, "--workers", str(workers), cwd=cwd, home=self.home)

    def forget(self) -> None:
        """Empty the home, except for the compiled kernels."""
        empty_home(self.home)

    def pack(self, file: Path, *options: str, workers: int) -> Cost:
        """Pack the tuned model into `file`, with an empty home."""
        self.forget()
        file.unlink(missing_ok=True)
        return self.pack_here(file, *options, workers=workers)

    def pack_here(self, file: Path, *options: str, workers: int) -> Cost:
        """Pack the tuned model into `file`, which does not exist, with the home as it is."""
        named = ("--name", "acme/llm", "--version", "1.0.0", "-o", str(file))
        ran = self.skillpm(
            "pack", str(self.base), str(self.tuned), *named, *options, workers=workers
        )
        return Cost.of(ran, size=ran.document["file_bytes"])

    def lossless(self) -> Path:
        """The lossless pack, made if it is missing."""
        if not self.packed.exists():
            self.pack(self.packed, workers=2)
        return self.packed


def make_models(cache: Path, *names: str) -> None:
    """Make the base and fine-tunes that are missing, in another process."""
    run(sys.executable, "-m", "benchmarks.llm.make", *names, "--cache", str(cache))


def empty_home(home: Path) -> None:
    """Empty a home of skillpm, except for the compiled kernels; create it if it is missing."""
    home.mkdir(parents=True, exist_ok=True)
    for path in home.iterdir():
        if path.name != KEPT_IN_HOME:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def copy(walk: Walk, _workers: int) -> Cost:
    """`cp -r` of the tuned model, and fsync of every file of the copy."""
    target = walk.fresh("copy")
    copied = run("cp", "-r", str(walk.tuned), str(target))
    cost = Cost.of(copied, run(sys.executable, "-c", _SYNC, str(target)))
    shutil.rmtree(target)
    return cost


def hashed(walk: Walk, _workers: int) -> Cost:
    """SHA-256 of the tuned weights."""
    return Cost.of(run("sha256sum", str(walk.tuned / WEIGHTS)))


def planes(walk: Walk, _workers: int) -> Cost:
    """The script `benchmarks.llm.planes`."""
    file = walk.fresh("planes")
    script = (sys.executable, "-m", "benchmarks.llm.planes", "pack")
    ran = run(*script, str(walk.base), str(walk.tuned), str(file))
    return Cost.of(ran, size=file.stat().st_size)


def planes_back(walk: Walk, workers: int) -> Cost:
    """The script's way back; the result is compared with the tuned model."""
    file, out = walk.folder / "planes", walk.fresh("planes-back")
    if not file.exists():
        planes(walk, workers)
    script = (sys.executable, "-m", "benchmarks.llm.planes", "back")
    ran = run(*script, str(walk.base), str(file), str(out))
    run("cmp", str(out / WEIGHTS), str(walk.tuned / WEIGHTS))
    shutil.rmtree(out)
    return Cost.of(ran)


def pack(walk: Walk, workers: int) -> Cost:
    """The lossless pack."""
    return walk.pack(walk.packed, workers=workers)


def fast(walk: Walk, workers: int) -> Cost:
    """The lossless pack of the fast lane."""
    file = walk.folder / "fast.skillpack"
    return walk.pack(file, "--effort", "fast", workers=workers)


def verify(walk: Walk, workers: int) -> Cost:
    """Proof of the lossless pack on its base."""
    file = walk.lossless()
    walk.forget()
    ran = walk.skillpm("verify", str(file), "--base", str(walk.base), workers=workers)
    return Cost.of(ran)


def graft(walk: Walk, workers: int) -> Cost:
    """Graft of the installed lossless pack; the result is compared with the tuned model."""
    file = walk.lossless()
    walk.forget()
    project = walk.fresh("project")
    project.mkdir()
    walk.skillpm("init", "--base", str(walk.base), workers=workers, cwd=project)
    walk.skillpm("install", str(file), workers=workers, cwd=project)
    ran = walk.skillpm("graft", workers=workers, cwd=project)
    tuned = walk.skillpm("identify", str(walk.tuned), workers=workers).document["root"]
    assert ran.document["root"] == tuned, f"graft {ran.document['root']}, tuned {tuned}"
    shutil.rmtree(project)
    return Cost.of(ran, size=ran.document["written_bytes"])


def auto(walk: Walk, workers: int) -> Cost:
    """The lossy pack of 5 % of the tuned model's bytes."""
    return walk.pack(walk.folder / "auto.skillpack", "--budget", "5%", workers=workers)


def calibrated(walk: Walk, workers: int) -> Cost:
    """The same with calibration text; the peak includes the model that reads it."""
    options = ("--budget", "5%", "--calibration", str(walk.calibration))
    return walk.pack(walk.folder / "calibrated.skillpack", *options, workers=workers)


PEERS: dict[str, Callable[[Walk, int], Cost]] = {
    COPY: copy,
    HASH: hashed,
    PLANES: planes,
    PLANES_BACK: planes_back,
}
"""They use one thread, whatever the number of workers."""
OURS: dict[str, Callable[[Walk, int], Cost]] = {
    PACK: pack,
    FAST: fast,
    VERIFY: verify,
    GRAFT: graft,
    AUTO: auto,
    CALIBRATED: calibrated,
}
SHORT = {"pack": PACK, "fast": FAST, "verify": VERIFY, "graft": GRAFT, "auto": AUTO,
         "calibrated": CALIBRATED}  # fmt: skip
"""The names of the steps on the command line."""


@cache
def has_fast_lane() -> bool:
    """Whether this version of `pack` has `--effort`."""
    return "--effort" in run(SKILLPM, "pack", "--help").out
