"""Two changes of one skill at once: both succeed, and search shows what is true after them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm_registry.backend import Backend
from skillpm_registry.catalog.actor import LOCAL

MakePack = Callable[..., Any]
ROUNDS = 10
"""On PostgreSQL, the faults that these tests found showed in one round of three, or of twelve."""


def both(*changes: Callable[[], object]) -> None:
    """Make changes at the same time. Raises the error of one that fails."""
    barrier = threading.Barrier(len(changes))

    def change(one: Callable[[], object]) -> None:
        barrier.wait()
        one()

    with ThreadPoolExecutor(len(changes)) as threads:
        list(threads.map(change, changes))


def found(backend: Backend, skill: str) -> list[str]:
    return [each.version for each in backend.search.find(skill, LOCAL)]


def yank(backend: Backend, name: str, version: str, now: datetime) -> None:
    skill = SkillName.parse(name)
    backend.changes.yank(skill, Version.parse(version), "overfits", LOCAL, now=now)


def test_two_yanks_at_once_leave_the_lowest_version(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    for number in range(ROUNDS):
        name = f"acme/yanked{number}"
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            make_pack(skill=name, version=version).publish_to(backend)
        both(partial(yank, backend, name, "1.2.0", now), partial(yank, backend, name, "1.1.0", now))
        assert found(backend, f"yanked{number}") == ["1.0.0"]


def test_two_versions_are_published_at_once_after_all_others_were_yanked(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    for number in range(ROUNDS):
        name = f"acme/revived{number}"
        make_pack(skill=name, version="1.0.0").publish_to(backend)
        yank(backend, name, "1.0.0", now)
        packs = [make_pack(skill=name, version=version) for version in ("1.1.0", "1.2.0")]
        for pack in packs:
            pack.upload(backend)
        publish = backend.publisher.publish
        both(*(partial(publish, pack.image, LOCAL, now=now) for pack in packs))
        assert found(backend, f"revived{number}") == ["1.2.0"]
