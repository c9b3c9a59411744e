"""A small file system that tests fill up, and commands that run on it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from skillpm_world import run_here

STEP = 4096


@dataclass(frozen=True)
class Disk:
    """A separate small file system; the file `filler` takes up the rest of the space."""

    folder: Path

    @property
    def filler(self) -> Path:
        return self.folder / "filler"

    def leave(self, free: int) -> None:
        """Fill the disk up to `free` free bytes."""
        with self.filler.open("wb", buffering=0) as file:
            for size in (1 << 16, STEP, 1 << 10):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    continue
            os.fsync(file.fileno())
            file.truncate(max(0, file.tell() - free))

    def free(self) -> None:
        self.filler.unlink()


@contextmanager
def mounted(tmp_path: Path, kind: str, megabytes: int) -> Iterator[Disk]:
    """A tmpfs, or an ext4 with small blocks, where SQLite's maps are sparse."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    folder, image = tmp_path / "disk", tmp_path / "image"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if kind == "ext4":
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("there is no mkfs.ext4")
        with image.open("wb") as file:
            file.truncate((megabytes + 2) << 20)
        options = ("-b", "1024", "-m", "0", "-O", "^has_journal")
        subprocess.run(["mkfs.ext4", "-q", "-F", *options, str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this root cannot mount a file system")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run_apart(*arguments: object) -> int:
    """Run a command in a fork, because a full disk may kill it; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            outcome = run_here(*arguments)
            plain = outcome.code == 0 or "full" in outcome.err or "No space left" in outcome.err
            code = outcome.code if plain and "Traceback" not in outcome.err else 98
            if code == 98:
                os.write(2, outcome.err.encode())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
