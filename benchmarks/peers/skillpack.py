"""A peer's tensors in our own container, by the flow behind `skillpm pack`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks.peers.auto import weights_alone
from skillpm.flows.manifest_of import Request
from skillpm.flows.pack import pack
from skillpm.flows.setting import Setting
from skillpm.index.empty import EmptyIndex
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers.scheme import Peer
    from benchmarks.peers.task import Task


def write_skillpack(task: Task, peer: Peer, path: Path) -> int:
    """Write `path`, which must be absent; return the bytes of the whole `.skillpack`."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    setting = Setting(
        home=task.folder / "home",
        project=task.folder,
        registry=None,
        base=None,
        offline=True,
        now=now,
        created=now,
        workers=1,
        lock_timeout=10.0,
        say=lambda _text: None,
        progress=lambda _label, _total: lambda _bytes: None,
        connect=lambda _url, _create: EmptyIndex(),
    )
    tuned = weights_alone(task, task.folder / "weights")
    skill, version = SkillName.parse("acme/bench"), Version.parse("1.0.0")
    return pack(setting, Request(task.base, tuned, skill, version, output=path), peer).file_bytes
