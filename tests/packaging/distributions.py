"""The distributions of the checkout, built without a network."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def build(target: str, folder: Path) -> Path:
    """Build with hatchling; the path of the new file in `folder`."""
    before = set(folder.iterdir())
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (path,) = set(folder.iterdir()) - before
    return path
