"""Live skills on a device: back to the base, graft against live, mixed batches, switch time."""

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

import skillpm
from benchmarks.tools.running import skillpm as command

_SWITCHES, _LENGTH = 20, 32


@torch.no_grad()
def measure_live(folder: Path, base: Path, packs: list[Path], device: str) -> dict[str, Any]:
    """Install packs in a project and use them on a device; return differences and seconds.

    Raises `RuntimeError` if the outputs of the base change.
    """
    project, home = folder / "project", folder / "home"
    if not (project / "skillpm.lock").exists():
        project.mkdir(exist_ok=True)
        command("init", "--base", str(base), cwd=project, home=home)
        for pack in packs:
            command("install", str(pack), cwd=project, home=home)
    live: Any = skillpm.open_project(project, home=home).load_model(device=device)
    names = sorted(live.skill_bytes())
    torch.manual_seed(0)
    ids = torch.randint(0, live.config.vocab_size, (len(names), _LENGTH)).to(device)
    before = live(ids).logits
    found = {"mixed": _mixed(live, ids, names), "switch_seconds": _switch(live, names[0])}
    found["graft"] = _graft(live, ids, names[0], project, home)
    if not torch.equal(live(ids).logits, before):
        raise RuntimeError("the outputs of the base changed")
    return {**found, "back_to_base": "the same bits"}


def _mixed(live: Any, ids: torch.Tensor, names: list[str]) -> float:
    """The largest difference of logits between a mixed batch and its rows one by one."""
    with live.use_skill(names):
        mixed = live(ids).logits
    rows = []
    for row, name in enumerate(names):
        with live.use_skill(name):
            rows.append(live(ids[row : row + 1]).logits)
    return float((mixed - torch.cat(rows)).abs().max())


def _switch(live: Any, name: str) -> float:
    """The median seconds of a switch to a ready skill and back."""
    live.warm(name)
    times = []
    for _ in range(_SWITCHES):
        started = time.perf_counter()
        with live.use_skill(name):
            pass
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _graft(live: Any, ids: torch.Tensor, name: str, project: Path, home: Path) -> float:
    """The largest difference of logits between a live skill and its graft, on the device."""
    target = project.parent / "graft"
    command("graft", "--only", name, "-o", str(target), cwd=project, home=home)
    grafted = AutoModelForCausalLM.from_pretrained(target, dtype="auto").eval().to(ids.device)
    with live.use_skill(name):
        return float((live(ids).logits - grafted(ids).logits).abs().max())
