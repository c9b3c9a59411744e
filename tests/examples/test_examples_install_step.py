"""The steps of an installation by `make`: titles, pip's work, signs of life, and failures."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from examples import install_step
from examples.journey.command import Skillpm
from examples.journey.report import farewell

SCRIPT = """
import time
print('Looking in indexes: x')
print('Collecting torch==2.13.0', flush=True)
time.sleep(0.5)
print('Installing collected packages: a, b, c', flush=True)
"""


def run(monkeypatch: pytest.MonkeyPatch, script: str) -> int:
    monkeypatch.setattr(
        sys, "argv", ["install_step", "2 of 3: torch", sys.executable, "-c", script]
    )
    return install_step.main()


def test_a_step_prints_its_title_what_pip_does_and_signs_of_life(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_step, "SILENCE", 0.1)
    assert run(monkeypatch, SCRIPT) == 0
    first, *rest, last = capsys.readouterr().out.splitlines()
    alive = [line for line in rest if line == "    … 0 s: collecting torch==2.13.0"]
    assert first == "==> 2 of 3: torch"
    assert alive
    assert [line for line in rest if "…" not in line] == [
        "    collecting torch==2.13.0", "    unpacking 3 packages",
    ]  # fmt: skip
    assert last.startswith("    done in ")


def test_a_failed_step_prints_the_whole_output_and_keeps_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "print('no matching distribution'); raise SystemExit(7)") == 7
    printed = capsys.readouterr().out
    assert "no matching distribution" in printed
    assert "error: this step failed with exit code 7: 2 of 3: torch" in printed


def test_an_old_python_is_refused_before_anything_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install_step, "LEAST", (99, 0))
    assert run(monkeypatch, "raise SystemExit(7)") == 1
    assert "hint: name another one, `make demo PYTHON=python3.12`" in capsys.readouterr().out


def test_the_demo_ends_with_the_line_for_the_path_and_a_folder_to_play_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    monkeypatch.chdir(tmp_path)
    for module in ("command", "report"):
        monkeypatch.setattr(f"examples.journey.{module}.scripts", lambda: tmp_path / "bin")
    console = Console(record=True, width=100)
    farewell(console, Skillpm(tmp_path / "demo" / "project", tmp_path / "home", console))
    printed = console.export_text()
    assert "  source bin/activate   # puts skillpm on the PATH of this shell\n" in printed
    assert "The folder demo/project is a project to play in" in printed
    assert "  cd demo/project\n" in printed
