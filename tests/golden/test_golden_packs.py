"""Stored packs decode to the same bytes on every machine (law 3).

`SKILLPM_UPDATE_GOLDEN=1` makes packs that are missing and records their roots. Packs that
are stored stay, because every decoder is kept (ADR 49).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from golden_worlds import HERE, WORLDS, cut_pack, decoded_root, write_model
from numpy._core._multiarray_umath import __cpu_dispatch__

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.coding.payload import PayloadReader

ROOTS = HERE / "roots.json"
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
MACHINES = {
    "one thread, plain kernels": (1, {
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__),
    }),
    "two threads, wide kernels": (2, {
        "ATEN_CPU_CAPABILITY": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",
    }),
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if os.environ.get("SKILLPM_UPDATE_GOLDEN"):
        folder = tmp_path_factory.mktemp("cut")
        found = json.loads(ROOTS.read_text())
        for name in WORLDS:
            path = HERE / f"{name}.skillpack"
            if not path.exists():
                cut_pack(folder, name, path)
                found[name] = decoded_root(folder, path, 2)
        ROOTS.write_text(json.dumps(found, indent=2) + "\n")
    return dict(json.loads(ROOTS.read_text()))


@pytest.mark.parametrize("machine", MACHINES)
def test_golden_packs_decode_to_the_same_bytes_on_every_machine(
    machine: str, recorded: dict[str, str], tmp_path: Path
) -> None:
    workers, features = MACHINES[machine]
    threads = dict.fromkeys(_THREADS, str(workers))
    running = {}
    for name in WORLDS:
        (tmp_path / name).mkdir()
        pack = HERE / f"{name}.skillpack"
        command = [sys.executable, "-W", "error", "-W", "ignore::ImportWarning"]
        command += [*map(str, (HERE / "golden_worlds.py", tmp_path / name, pack, workers))]
        environment = {**os.environ, **features, **threads}
        running[name] = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    for name, done in running.items():
        assert done.returncode == 0, done.stderr
        assert done.stdout == recorded[name], name


def test_golden_root_equals_the_root_in_its_manifest(recorded: dict[str, str]) -> None:
    for name, roots in recorded.items():
        manifest = open_pack(HERE / f"{name}.skillpack").manifest
        assert roots.split()[:2] == [str(manifest.base.root), str(manifest.result_root)]


def test_lossless_golden_pack_decodes_to_the_tuned_model(
    recorded: dict[str, str], tmp_path: Path
) -> None:
    tuned = write_model(tmp_path / "tuned.safetensors", WORLDS["lossless"], tuned=True)
    assert str(identify(open_checkpoint(tuned)).root) == recorded["lossless"].split()[1]


@pytest.mark.parametrize("name", WORLDS)
def test_same_inputs_give_the_same_pack(name: str, tmp_path: Path) -> None:
    one, other = tmp_path / "one.skillpack", tmp_path / "other.skillpack"
    cut_pack(tmp_path, name, one)
    cut_pack(tmp_path, name, other)
    assert one.read_bytes() == other.read_bytes()


def test_golden_packs_have_every_codec_and_every_mode(recorded: dict[str, str]) -> None:
    codecs, modes = set(), set()
    for name in WORLDS:
        opened = open_pack(HERE / f"{name}.skillpack")
        for one in opened.manifest.footprint:
            assert one.layer is not None
            record = PayloadReader(opened.open_layer(one.layer), name).records[one.tensor]
            codecs.add(record.codec)
            modes |= set(record.settings.get("modes", ""))
    assert codecs == {"lossless", "lowrank", "svd", "topk"}
    assert modes == set("sdxy")
