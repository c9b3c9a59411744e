"""The trace of the files that a command passes through, on a small checkout."""

from pathlib import Path

import pytest

from benchmarks.call_trace import SETUP, TRACED, table_of, trace

FILES = {
    "skillpm/__init__.py": "",
    "skillpm/cli/__init__.py": (
        "import sys\n\n\n"
        "def main(arguments):\n"
        "    from skillpm.flows import work\n"
        "    work.run(arguments[0])\n"
    ),
    "skillpm/flows/__init__.py": "",
    "skillpm/flows/work.py": (
        "import threading\n\nfrom skillpm import names, values\n\n\n"
        "def run(name):\n"
        "    if name == 'broken':\n"
        "        raise SystemExit('no such command')\n"
        "    thread = threading.Thread(target=values.used)\n"
        "    thread.start()\n"
        "    thread.join()\n"
    ),
    "skillpm/names.py": "def at_import():\n    return 1\n\n\nVALUE = at_import()\n",
    "skillpm/values.py": "def used():\n    return 1\n\n\ndef unused():\n    return 2\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "checkout"


def test_files_count_if_a_function_is_called_in_any_thread(checkout: Path) -> None:
    steps = ((SETUP, "init", ("init",)), (TRACED, "pack", ("pack",)))
    (traced,) = trace(checkout, steps)
    assert traced.command == "pack"
    assert traced.files == ("cli/__init__.py", "flows/work.py", "values.py")
    assert traced.below("cli", "flows") == 2
    assert traced.lines == 11, "3 lines of `main`, 6 of `run`, 2 of `used`"
    assert "| checkout | `pack` | 3 | 2 | 11 |" in table_of({"checkout": [traced]})


def test_a_command_that_fails_is_reported(checkout: Path) -> None:
    with pytest.raises(RuntimeError, match=r"`skillpm broken` of .* failed: .*no such command"):
        trace(checkout, ((TRACED, "broken", ("broken",)),))
