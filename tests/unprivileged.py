"""Commands that are subject to permissions: root's capabilities are dropped first.

If root runs the tests, a command keeps its user and loses the capabilities that override modes and
owners, so permissions apply to it as to other users.
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
    """The prefix of skillpm's command line; skips the test if root cannot drop its capabilities."""
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
    """Run a command in a separate process that is subject to permissions."""
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
