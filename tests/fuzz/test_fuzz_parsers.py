"""Every parser accepts input or refuses it with a `SkillpmError`, in bounded time and memory."""

import importlib.util
import subprocess
import sys
import time
import warnings
from pathlib import Path

import fuzz_run
import pytest
from fuzz_run import Tally, run, run_apart
from fuzz_target import Target, outcome_of
from fuzz_targets import all_targets
from hypothesis import given
from hypothesis import strategies as st
from thoroughness import examples, is_thorough

from skillpm.errors import SpecError

HERE = Path(__file__).parent
TARGETS = {target.name: target for target in all_targets()}
SHORT = ("requirement", "version", "skill name", "digest", "budget", "location", "side file name",
         "lockfile", "project file", "user config", "merge conflict", "adapter keys")  # fmt: skip
JSON = ("manifest", "OCI image manifest", "advisory", "saved index", "plan", "generation",
        "adapter config", "side file config.json", "leaf cache", "survey cache", "holder",
        "known project",
        "checkpoint index", "router examples", "probes")  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"checkpoint index"}))
def test_parser_reads_its_seeds(name: str) -> None:
    target = TARGETS[name]
    assert [outcome_of(target, seed) for seed in target.seeds] == ["read"] * len(target.seeds)


def _fuzzed(count: int) -> None:
    command = [sys.executable, str(HERE / "fuzz_run.py"), "--count", str(count), "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("0 findings") == len(TARGETS)


@pytest.mark.slow
def test_altered_inputs_are_read_or_refused() -> None:
    _fuzzed(200)


@pytest.mark.slow
def test_many_altered_inputs_are_read_or_refused() -> None:
    _fuzzed(10_000)


@pytest.mark.parametrize("name", SHORT)
def test_any_text_is_read_or_refused(name: str) -> None:
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.binary(max_size=60))
    def holds(drawn: str | bytes) -> None:
        outcome_of(TARGETS[name], drawn if isinstance(drawn, bytes) else drawn.encode())

    holds()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("name", JSON)
def test_any_json_is_read_or_refused(name: str) -> None:
    import json

    @given(PLAIN)
    def holds(plain: object) -> None:
        outcome_of(TARGETS[name], json.dumps(plain).encode())

    holds()


def _faults(tally: Tally) -> str:
    return "".join(text for _, text in tally.findings)


def _fail(_data: bytes) -> None:
    raise KeyError(1)


def test_run_reports_foreign_errors_warnings_hangs_and_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fuzz_run, "SECONDS", 0.05)

    def spin(_data: bytes) -> None:
        while time.process_time():
            pass

    def refuse(_data: bytes) -> None:
        raise SpecError("no")

    hoard: list[bytearray] = []
    bomb = Target("bomb", lambda _data: hoard.append(bytearray(b"x" * 600_000_000)), (b"a",))
    assert "KeyError" in _faults(run(Target("error", _fail, (b"a",)), 1, 1))
    assert "TooSlowError" in _faults(run(Target("hang", spin, (b"a",)), 1, 1))
    assert run(Target("refused", refuse, (b"a",)), 3, 1).outcomes == {"spec": 3}
    monkeypatch.setattr(fuzz_run, "SECONDS", 5)
    assert "MB of memory" in _faults(run_apart(bomb, 1, 1))
    warn = Target("warning", lambda _data: warnings.warn("w", RuntimeWarning, 2), (b"a",))
    assert "RuntimeWarning" in _faults(run_apart(warn, 1, 1))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="extra `fuzz`")
@pytest.mark.parametrize("name", ["manifest", "safetensors header", "requirement"])
def test_atheris_finds_nothing(name: str, tmp_path: Path) -> None:
    seconds = examples(20) if is_thorough() else 5
    command = [sys.executable, str(HERE / "fuzz_atheris.py"), name, f"-max_total_time={seconds}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
