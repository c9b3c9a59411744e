"""Merged sets have the same root on every machine (law 3); `sum` has the root of skillpm 0.1."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden_merging import merged_roots
from golden_worlds import HERE
from test_golden_packs import _THREADS, MACHINES

ROOTS = HERE / "merging.json"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if os.environ.get("SKILLPM_UPDATE_GOLDEN"):
        found = merged_roots(tmp_path_factory.mktemp("merged"), 2)
        ROOTS.write_text(json.dumps(found, indent=2) + "\n")
    return dict(json.loads(ROOTS.read_text()))


@pytest.mark.parametrize("machine", MACHINES)
def test_golden_sets_merge_to_the_same_bytes_on_every_machine(
    machine: str, recorded: dict[str, str], tmp_path: Path
) -> None:
    workers, features = MACHINES[machine]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ImportWarning",
         HERE / "golden_merging.py", tmp_path, str(workers)],
        env={**os.environ, **features, **dict.fromkeys(_THREADS, str(workers))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == recorded


def test_each_method_merges_the_golden_set_to_another_root(recorded: dict[str, str]) -> None:
    assert len(set(recorded.values())) == 5
