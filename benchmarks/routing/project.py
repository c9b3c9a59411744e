"""The router of ten skills by `pack --router`, `publish`, `install` and `route`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import load_file, save_file

from benchmarks.routing.subjects import EXAMPLES
from benchmarks.tools.table import Table
from examples.code_search.encoder import packaged_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.routing.main import Draw, Texts


def through_commands(texts: Texts, drawn: Draw, folder: Path, size: int = 10) -> Table:
    """Pack, install and route by the commands; return the shares of queries by destination."""
    base, tuned = packaged_model(), _tuned(folder)
    wanted = _files(texts, drawn, folder, size)
    _command(folder, "init", "--base", base)
    for name in drawn.skills[:size]:
        pack = folder / f"{name}.skillpack"
        _command(
            folder, "pack", base, tuned, "--name", f"bench/{name}", "--version", "1.0.0",
            "-o", pack, "--router", folder / f"{name}.jsonl",
            "--router-background", folder / "background.jsonl",
        )  # fmt: skip
        _command(folder, "publish", pack)
    _command(folder, "install", *(f"bench/{name}" for name in drawn.skills[:size]))
    answers = _command(folder, "route", "--file", folder / "asked.jsonl")
    got = [one["skill"] for one in answers["results"]]
    own, general = got[: len(wanted)], got[len(wanted) :]
    right = [skill == name for skill, name in zip(own, wanted, strict=True)]
    parts = {
        "queries that go to their skill": right,
        "queries that go to the base": [one is None for one in own],
        "general texts that go to the base": [one is None for one in general],
    }
    title = f"{size} skills by `pack --router`, `publish`, `install`, `route`"
    table = Table(title, ("texts", "count", "share"))
    for told, found in parts.items():
        table.row(told, len(found), f"{np.mean(found):.1%}")
    return table


def _tuned(folder: Path) -> Path:
    """The encoder with one bias moved: the delta that all packs share."""
    tuned = Path(shutil.copytree(packaged_model(), folder / "tuned"))
    tensors = load_file(tuned / "model.safetensors")
    tensors["encoder.layer.5.output.LayerNorm.bias"] += 0.01
    save_file(tensors, tuned / "model.safetensors", metadata={"format": "pt"})
    return tuned


def _files(texts: Texts, drawn: Draw, folder: Path, size: int) -> list[str]:
    """Write the commands' input files; return the skill of each query."""

    def write(name: str, lines: Sequence[str]) -> None:
        documents = "".join(json.dumps({"text": text}) + "\n" for text in lines)
        (folder / f"{name}.jsonl").write_text(documents, encoding="utf-8")

    asked: list[str] = []
    wanted: list[str] = []
    for name in drawn.skills[:size]:
        found = [texts.subjects[name][place] for place in drawn.order[name]]
        write(name, found[:EXAMPLES])
        asked += found[EXAMPLES:]
        wanted += [f"bench/{name}"] * len(found[EXAMPLES:])
    write("background", texts.background)
    write("asked", [*asked, *texts.general])
    return wanted


def _command(folder: Path, *arguments: object) -> dict[str, Any]:
    environment = {**os.environ, "SKILLPM_HOME": str(folder / "home")}
    (folder / "project").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "skillpm", *map(str, arguments), "--json", "-y"],
        cwd=folder / "project", env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found
