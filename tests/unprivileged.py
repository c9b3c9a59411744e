"""Commands that permissions bind: root passes every check, so root's own powers are given up first.

Where root runs the tests, a command keeps its user and loses the capabilities that override modes
and owners: it is then bound by them as everybody is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from skillpm_world import PACKAGES, Outcome

_POWERS = "-dac_override,-dac_read_search,-fowner,-chown"


def bound_command() -> list[str]:
    """The command line before skillpm's own; skips where root cannot give its powers up."""
    if os.geteuid() != 0:
        return [sys.executable, "-m", "skillpm"]
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root passes every permission check, and `setpriv` is missing")
    command = [setpriv, f"--bounding-set={_POWERS}", sys.executable]
    with tempfile.NamedTemporaryFile() as closed:
        Path(closed.name).chmod(0)
        reading = [*command, "-c", f"open({closed.name!r})"]
        if subprocess.run(reading, capture_output=True, check=False).returncode == 0:
            pytest.skip("this root cannot give up its powers")
    return [*command, "-m", "skillpm"]


def run_bound(*arguments: object, umask: int = 0o022, **environment: str) -> Outcome:
    """Run a command in a process of its own that permissions bind."""
    done = subprocess.run(
        [*bound_command(), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": PACKAGES, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        umask=umask,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def modes(folder: Path) -> dict[str, int]:
    """The mode of every file and folder below, and of the folder itself."""
    return {
        str(path.relative_to(folder)): path.lstat().st_mode & 0o7777
        for path in (folder, *sorted(folder.rglob("*")))
    }
