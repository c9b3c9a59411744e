"""Index documents: rendered in batches, and recorded once they are in the static tree."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from skillpm_registry.backend import Backend

MakePack = Callable[..., Any]


def test_documents_of_one_step_are_rendered_in_several_batches(
    backend: Backend, make_pack: MakePack, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillpm_registry.publishing.sequencer._BATCH", 3)
    monkeypatch.setattr("skillpm_registry.catalog.documents._ROWS", 1)
    for number in range(5):
        make_pack(skill=f"acme/skill-{number}").publish_to(backend)

    assert backend.sequencer.step(now=now).documents == 5
    assert backend.sequencer.step(now=now).documents == 0
    assert len(list(backend.tree.paths("index/acme/"))) == 10


def test_document_that_another_sequencer_has_recorded_is_rendered_again(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    make_pack(skill="acme/first").publish_to(backend)
    make_pack(skill="acme/second").publish_to(backend)
    documents = backend.documents
    backend.sequencer.step(now=now)
    assert documents.render_missing("acme", set()) == 2
    stale = documents.stale(10)
    rendered = documents.render(stale)
    assert documents.record(stale[:1], rendered[:1], now=now) == set()

    assert documents.record(stale, rendered, now=now) == set()

    assert [str(document.skill) for document in documents.stale(10)] == ["acme/first"]
    assert backend.sequencer.step(now=now).documents == 1
    assert documents.stale(10) == []
