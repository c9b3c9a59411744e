"""A peer's tensors in a `.skillpack`, written by the flow of `skillpm pack`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peers.auto import weights_alone
from benchmarks.tools.offline import setting_at
from skillpm.flows.pack.model_pair import PackRequest
from skillpm.flows.pack.pack import pack
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.scheme import Peer
    from benchmarks.peers.task import Task


def write_skillpack(task: Task, peer: Peer, path: Path) -> int:
    """Write `path`, which must not exist; return the size of the whole `.skillpack`."""
    session = setting_at(task.folder / "home", task.folder)
    tuned = weights_alone(task, task.folder / "weights")
    skill, version = SkillName.parse("acme/bench"), Version.parse("1.0.0")
    return pack(
        session, PackRequest(task.base, tuned, skill, version, output=path), peer
    ).file_bytes
