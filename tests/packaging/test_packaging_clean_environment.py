"""The wheel in a clean virtual environment: the quick start, and the commands of the demo."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest
from distributions import REPOSITORY
from tiny_models import Models

SCRIPT = REPOSITORY / "examples" / "quickstart" / "quickstart.sh"
# The venv's own `skillpm` runs; only the driver finds `examples` in the checkout.
DEMO = """
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path.append(sys.argv[1])
from rich.console import Console
from examples.journey.command import Skillpm
from examples.journey.steps import travel
folder = Path(sys.argv[2])
project = folder / "project"
project.mkdir()
skillpm = Skillpm(project=project, home=folder / "home", console=Console())
prepared = SimpleNamespace(base=folder / "base", tuned=folder / "tuned")
journey = travel(skillpm, prepared, measure=lambda folder: float(folder.is_dir()))
skillpm.show("history")
skillpm.show("audit")
print("checks:", [check.holds for check in journey.checks])
"""


def clean() -> dict[str, str]:
    """This environment without variables that lead to the checkout or to another registry."""
    dropped = ("SKILLPM_", "PYTHON", "VIRTUAL_ENV", "PIP_", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def run(words: Sequence[str | Path], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env={**clean(), **more}, cwd=folder, check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def quickstart(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the script made, and what it printed."""
    folder = tmp_path_factory.mktemp("stranger") / "quickstart"
    words: list[str | Path] = ["/bin/sh", SCRIPT, wheel, folder]
    packages = sysconfig.get_path("purelib")
    done = run(words, folder.parent, PYTHON=sys.executable, QUICKSTART_PACKAGES=packages)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_script_without_arguments_prints_its_usage(tmp_path: Path) -> None:
    done = run(["/bin/sh", SCRIPT], tmp_path)
    assert done.returncode == 2
    assert done.stderr == "usage: sh examples/quickstart/quickstart.sh WHEEL FOLDER\n"


@pytest.mark.slow
def test_stranger_gets_the_routed_answers_of_two_skills(quickstart: tuple[Path, str]) -> None:
    folder, printed = quickstart
    answers = printed.partition("$ skillpm run Capital")[2]
    assert answers.splitlines()[1].strip() == "Lima"
    assert answers.partition("$ skillpm run Plural")[2].splitlines()[1].strip() == "mice"
    assert (folder / "project" / "skillpm.lock").is_file()


@pytest.mark.slow
def test_demo_runs_with_the_installed_wheel(
    quickstart: tuple[Path, str], models: Models, tmp_path: Path
) -> None:
    python = quickstart[0] / "venv" / "bin" / "python"
    where = "import skillpm, sys; print(skillpm.__file__, sys.prefix)"
    imported, prefix = run([python, "-c", where], tmp_path).stdout.split()
    assert Path(imported).is_relative_to(prefix)
    for name, model in zip(("base", "tuned"), models.pair("fp32"), strict=True):
        (tmp_path / name).symlink_to(model)
    done = run([python, "-c", DEMO, REPOSITORY, tmp_path], tmp_path)
    assert "checks: [True, True, True]" in done.stdout, done.stdout + done.stderr
