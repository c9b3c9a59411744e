"""Registries by URL, and the registry before its first publication."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from skillpm.errors import NotFoundError, RegistryError, UnknownSkillError
from skillpm.index.empty import EmptyIndex
from skillpm.index.open import open_index
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version


def test_open_index_creates_an_embedded_registry_only_on_request(tmp_path: Path) -> None:
    url = RegistryLocation.parse(f"file://{tmp_path}/ours")
    with pytest.raises(RegistryError):
        open_index(url, create=False)
    open_index(url, create=True).close()
    found = open_index(url, create=False)
    assert found.skills() == []
    found.close()


def test_open_index_of_an_unknown_kind_of_registry_is_not_supported() -> None:
    with pytest.raises(RegistryError, match="cannot be reached"):
        open_index(RegistryLocation.parse("ftp://example.com/x"), create=False)


def test_empty_index_lists_nothing_and_refuses_changes() -> None:
    index, skill, version = EmptyIndex(), SkillName.parse("acme/math"), Version.parse("1.0.0")
    assert (index.releases([skill]), index.search("math"), index.skills()) == ({}, [], [])
    with pytest.raises(NotFoundError, match="nothing was published"):
        index.open_blob(Digest.of(b""))
    with pytest.raises(UnknownSkillError):
        index.unyank(skill, version)
    with pytest.raises(UnknownSkillError):
        index.yank(skill, version, reason="", now=datetime(2024, 5, 17, tzinfo=UTC))
    with pytest.raises(AssertionError):
        index.publish(b"", lambda _digest: BytesIO(), now=datetime(2024, 5, 17, tzinfo=UTC))
    index.close()
