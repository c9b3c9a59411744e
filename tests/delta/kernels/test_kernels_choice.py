"""numba serves large work, numpy small work and machines without numba."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skillpm.delta.kernels.choice import SETTINGS, VARIABLE, compiled, requested, use_home
from skillpm.errors import UsageError

_LOADED = "import sys; from skillpm.delta.kernels import choice; "
_WORK = "print([choice.compiled(10**5) for _ in range(40)].index(True)); "
_BROKEN = "sys.modules['numba'] = None; "


def _python(script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    own = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = (sys.executable, "-c", script)
    return subprocess.run(
        command, env=own | environment, capture_output=True, text=True, check=False
    )


def test_numba_is_imported_only_after_enough_work() -> None:
    script = "choice.compiled(10**6); assert 'numba' not in sys.modules; " + _WORK
    done = _python(_LOADED + script + "assert 'numba' in sys.modules")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5


def test_numba_serves_at_once_if_it_is_demanded() -> None:
    done = _python(_LOADED + "print(choice.compiled(1))", **{VARIABLE: "numba"})
    assert done.stdout == "True\n"


def test_numpy_serves_if_it_is_demanded_and_numba_is_not_imported() -> None:
    script = "print(choice.compiled(10**9)); assert 'numba' not in sys.modules"
    done = _python(_LOADED + script, **{VARIABLE: "numpy"})
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


def test_numpy_serves_if_numba_cannot_be_imported() -> None:
    script = "print(choice.compiled(10**9)); print(choice.import_problem())"
    done = _python(_LOADED + _BROKEN + script)
    served, problem = done.stdout.splitlines()
    assert served == "False"
    assert "numba" in problem


def test_demanding_numba_where_it_cannot_be_imported_is_an_error() -> None:
    done = _python(_LOADED + _BROKEN + "choice.compiled(1)", **{VARIABLE: "numba"})
    assert "UsageError: SKILLPM_KERNELS is `numba`, but numba cannot be imported" in done.stderr


def test_an_unknown_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SETTINGS, "demanded", None)
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(UsageError, match="SKILLPM_KERNELS is 'fast', expected `auto`"):
        compiled(1)
    monkeypatch.setenv(VARIABLE, "")
    assert requested() == "auto"


def test_the_variable_is_read_once_and_again_by_each_session(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(SETTINGS, "demanded", None)
    monkeypatch.setattr(SETTINGS, "home", None)
    monkeypatch.setenv(VARIABLE, "numpy")
    assert requested() == "numpy"
    monkeypatch.setenv(VARIABLE, "auto")
    assert requested() == "numpy"
    use_home(tmp_path)
    assert (requested(), SETTINGS.home) == ("auto", tmp_path)
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(UsageError, match="SKILLPM_KERNELS is 'fast'"):
        use_home(tmp_path)
