"""Publishers that wait for the sequencer, on both databases."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from skillpm_registry.backend import Backend, open_backend
from skillpm_registry.catalog.numbering import shown_positions

MakePack = Callable[..., Any]


def test_waiting_without_a_sequencer_ends(backend: Backend, make_pack: MakePack) -> None:
    assert backend.sequencer.wait_for(make_pack().publish_to(backend).leaf, 0.01) is None


def test_step_asks_once_for_all_who_wait_for_another_process(
    backend: Backend, make_pack: MakePack, places: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = [make_pack(version=f"1.{number}.0").publish_to(backend).leaf for number in range(8)]
    other = open_backend(places)
    asked: list[int] = []

    def count(database: Any, wanted: Any) -> dict[int, int]:
        asked.append(len(wanted))
        return shown_positions(database, wanted)

    monkeypatch.setattr("skillpm_registry.publishing.sequencer.shown_positions", count)
    found: list[int | None] = []
    waiters = [
        threading.Thread(
            target=lambda leaf=leaf: found.append(backend.sequencer.wait_for(leaf, 60))
        )
        for leaf in leaves
    ]
    monkeypatch.setattr("skillpm_registry.publishing.sequencer._ASK", 60)
    for thread in waiters:
        thread.start()
    while len(backend.sequencer._awaited) < 8:
        time.sleep(0.01)
    other.sequencer.step(now=datetime.now(UTC))
    asked.clear()
    backend.sequencer.step(now=datetime.now(UTC))
    for thread in waiters:
        thread.join()

    assert sorted(map(str, found)) == [str(number) for number in range(8)]
    assert asked == [8]
    assert not backend.sequencer._awaited
    other.close()


def test_position_is_shown_only_once_its_document_is_rendered(
    backend: Backend, make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillpm_registry.publishing.sequencer._DOCUMENTS", 2)
    packs = [make_pack(skill=f"acme/skill-{number}") for number in range(3)]
    leaves = [pack.publish_to(backend).leaf for pack in packs]

    def count_shown() -> int:
        return sum(backend.sequencer.wait_for(leaf, 0) is not None for leaf in leaves)

    backend.sequencer.step(now=datetime.now(UTC))
    assert count_shown() == 2
    backend.sequencer.step(now=datetime.now(UTC))
    assert count_shown() == 3
