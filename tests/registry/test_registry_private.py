"""Documents of private namespaces leave the static tree, whatever is killed or runs meanwhile."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from skillpm_registry.backend import Backend
from skillpm_registry.catalog.actor import LOCAL
from skillpm_registry.catalog.documents import Documents, RenderedDocument, StaleDocument
from skillpm_registry.catalog.people.namespaces import Namespaces
from skillpm_registry.publishing.tree import find_missing_documents

MakePack = Callable[..., Any]


def make_private(backend: Backend, now: datetime) -> None:
    Namespaces(backend.database).set_private("acme", LOCAL, private=True, now=now)


def test_document_that_is_written_meanwhile_is_removed(
    backend: Backend, make_pack: MakePack, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack().publish_to(backend)
    make_pack(skill="beta/other").publish_to(backend)
    render = Documents.render

    def slow(documents: Documents, stale: Sequence[StaleDocument]) -> list[RenderedDocument]:
        rendered = render(documents, stale)
        make_private(backend, now)
        return rendered

    monkeypatch.setattr(Documents, "render", slow)
    backend.sequencer.step(now=now)

    assert {path.split("/")[1] for path in backend.tree.paths("index/")} == {"beta"}


def test_sweep_removes_documents_that_a_killed_service_left(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish_to(backend)
    make_pack(skill="beta/other").publish_to(backend)
    backend.sequencer.step(now=now)
    assert len(list(backend.tree.paths("index/acme/"))) == 2
    make_private(backend, now)

    assert backend.collector.sweep(now=now).files == 2

    assert list(backend.tree.paths("index/acme/")) == []
    assert len(list(backend.tree.paths("index/beta/"))) == 2
    assert backend.documents.namespaces() == ["beta"]
    assert backend.documents.namespaces(private=True) == ["acme"]


def test_documents_that_the_tree_lacks_are_rendered_again(
    backend: Backend, make_pack: MakePack, now: datetime
) -> None:
    for name in ("acme/whole", "acme/lost", "acme/half", "beta/hidden"):
        make_pack(skill=name).publish_to(backend)
    Namespaces(backend.database).set_private("beta", LOCAL, private=True, now=now)
    backend.sequencer.step(now=now)
    before = sorted(backend.tree.paths())
    backend.tree.remove("index/acme/lost.json")
    backend.tree.remove(next(backend.tree.paths("index/acme/half/")))

    assert find_missing_documents(backend.documents, backend.tree) == 2
    assert backend.sequencer.step(now=now).documents == 2

    assert sorted(backend.tree.paths()) == before
    assert find_missing_documents(backend.documents, backend.tree) == 0
