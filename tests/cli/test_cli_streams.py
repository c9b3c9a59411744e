import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from skillpm_world import PACKAGES, World

SKILLPM = f"{sys.executable} -m skillpm"


def shell(line: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": PACKAGES}
    command = ["bash", "-c", line]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["list", "doctor", "identify /nowhere", "config show"])
def test_deleted_working_folder_is_reported(command: str, tmp_path: Path) -> None:
    ran = shell(f"mkdir gone && cd gone && rmdir ../gone && {SKILLPM} {command}", tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the working folder was deleted")


def test_deleted_working_folder_is_a_json_error_with_json(tmp_path: Path) -> None:
    ran = shell(f"mkdir gone && cd gone && rmdir ../gone && {SKILLPM} list --json", tmp_path)
    assert json.loads(ran.stdout)["error"]["kind"] == "state"
    assert ran.stderr == ""


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_command_without_streams_succeeds(installed: World, streams: str, tmp_path: Path) -> None:
    ran = shell(f"{SKILLPM} list {streams}", installed.project)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.parametrize(
    "command", ["list", "list --json", "--help", "--version", "nonsense --json"]
)
def test_unwritable_output_is_a_one_line_error(installed: World, command: str) -> None:
    ran = shell(f"{SKILLPM} {command} > /dev/full", installed.project)
    assert ran.returncode in (1, 2)
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr
