"""Index documents: rendered in batches, and recorded once they are in the static tree."""

import json
from collections.abc import Callable
from datetime import datetime
from threading import Event
from typing import Any

import pytest

from skillpm_registry.backend import Backend
from skillpm_registry.catalog.numbering import number
from skillpm_registry.refusals import BlobStoreError

MakePack = Callable[..., Any]


def test_documents_of_one_step_are_rendered_in_several_batches(
    backend: Backend, make_pack: MakePack, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillpm_registry.publishing.sequencer._BATCH", 3)
    monkeypatch.setattr("skillpm_registry.catalog.documents._ROWS", 1)
    for each in range(5):
        make_pack(skill=f"acme/skill-{each}").publish_to(backend)

    assert backend.sequencer.step(now=now).documents == 5
    assert backend.sequencer.step(now=now).documents == 0
    assert len(list(backend.tree.paths("index/acme/"))) == 10


@pytest.mark.parametrize(("bound", "most"), [("_ROWS", 1), ("_ROWS", 5), ("_BATCH_BYTES", 1)])
def test_skill_that_does_not_fit_into_a_batch_is_rendered_whole_and_alone(
    backend: Backend,
    make_pack: MakePack,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    most: int,
) -> None:
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        make_pack(skill="acme/first", version=version).publish_to(backend)
        make_pack(skill="acme/second", version=version).publish_to(backend)
    number(backend.database, now=now)
    stale = backend.documents.stale(10)
    assert len(backend.documents.render(stale)) == 2

    monkeypatch.setattr(f"skillpm_registry.catalog.documents.{bound}", most)
    (rendered,) = backend.documents.render(stale)

    assert str(rendered.skill) == "acme/first"
    assert len(json.loads(rendered.body)["releases"]) == 3


def test_step_that_fails_waits_for_the_writes_that_have_begun(
    backend: Backend, make_pack: MakePack, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack(skill="acme/bad").publish_to(backend)
    make_pack(skill="acme/good").publish_to(backend)
    begun, failed, put = Event(), Event(), backend.tree.put
    order: list[str] = []

    def slow(path: str, data: bytes, *, immutable: bool = False) -> None:
        if path == "index/acme/bad.json":
            assert begun.wait(30)
            raise BlobStoreError("bucket", "503 Slow Down")
        if path == "index/acme/good.json":
            begun.set()
            failed.wait(0.3)  # Ends at once only if the step does not wait.
            order.append("written")
        put(path, data, immutable=immutable)

    with monkeypatch.context() as patched:
        patched.setattr(type(backend.tree), "put", staticmethod(slow))
        with pytest.raises(BlobStoreError):
            backend.sequencer.step(now=now)
        order.append("failed")
        failed.set()

    assert order == ["written", "failed"]
    assert backend.sequencer.step(now=now).documents == 2


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
