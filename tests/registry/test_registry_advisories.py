import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from skillpm.spec.advisory import Advisory
from skillpm_registry.db.migrate import alembic_config
from skillpm_registry.db.schema import open_database
from skillpm_registry.errors import (
    AdvisoryOutdatedError,
    RegistryCorruptError,
    UnknownAdvisoryError,
    UnknownAffectedError,
)
from skillpm_registry.service import Registry, open_registry

MakePack = Callable[..., Any]


def advisory(modified: str = "2026-01-01T00:00:00Z", **more: Any) -> Advisory:
    package = {"ecosystem": "skillpm", "name": more.pop("name", "acme/math")}
    affected = [{"package": package, "versions": ["1.0.0"], "note": "kept"}]
    plain = {"id": "ACME-1", "modified": modified, "affected": affected}
    return Advisory.model_validate({**plain, **more})


@pytest.fixture
def stocked(registry: Registry, make_pack: MakePack) -> Registry:
    make_pack().publish(registry)
    return registry


def test_advisory_round_trips(stocked: Registry, now: datetime) -> None:
    given = advisory(unknown={"key": [1]})
    assert stocked.advise(given, now=now)
    assert [one.canonical() for one in stocked.advisories()] == [given.canonical()]
    assert not stocked.advise(given, now=now)


def test_advise_replaces_an_advisory_only_by_a_newer_one(stocked: Registry, now: datetime) -> None:
    stocked.advise(advisory(), now=now)
    newer = advisory("2026-01-01T01:00:00+00:30", summary="new")  # 00:30 in UTC
    assert stocked.advise(newer, now=now)
    for modified in ("2026-01-01T00:30:00Z", "2026-01-01T00:00:00Z"):
        with pytest.raises(AdvisoryOutdatedError):
            stocked.advise(advisory(modified), now=now)
    assert [one.summary for one in stocked.advisories()] == ["new"]


def test_advise_refuses_an_advisory_about_an_unknown_skill(
    stocked: Registry, now: datetime
) -> None:
    for stray in (advisory(name="acme/maths"), advisory(affected=[])):
        with pytest.raises(UnknownAffectedError):
            stocked.advise(stray, now=now)
    assert stocked.advisories() == []


def test_withdraw_keeps_the_advisory_and_its_first_withdrawal_time(
    stocked: Registry, now: datetime
) -> None:
    stocked.advise(advisory(), now=now)
    done = stocked.withdraw("ACME-1", now=now)
    assert done.withdrawn is not None
    assert stocked.advisories() == [done]
    assert stocked.withdraw("ACME-1", now=now.replace(year=now.year + 1)) == done
    with pytest.raises(UnknownAdvisoryError):
        stocked.withdraw("ACME-2", now=now)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM advisory",
        "UPDATE advisory SET id = 'x'",
        "REPLACE INTO advisory SELECT id, '{}', published_at, changed_at FROM advisory",
    ],
)
def test_database_refuses_to_change_or_delete_an_advisory(
    stocked: Registry, folder: Path, now: datetime, sql: str
) -> None:
    stocked.advise(advisory(), now=now)
    connection = sqlite3.connect(folder / "registry.db")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(sql)
    connection.close()


def test_damaged_advisory_document_is_a_corrupt_registry(
    stocked: Registry, folder: Path, now: datetime
) -> None:
    stocked.advise(advisory(), now=now)
    connection = sqlite3.connect(folder / "registry.db")
    with connection:
        connection.execute("UPDATE advisory SET document = '[]'")
    connection.close()
    with pytest.raises(RegistryCorruptError):
        stocked.advisories()


def test_older_registry_is_migrated_and_keeps_its_releases(
    stocked: Registry, folder: Path, now: datetime
) -> None:
    with open_database(folder, 1).writing() as connection:
        command.downgrade(alembic_config(connection), "0001")
    newer = open_registry(folder)
    assert len(newer.skills()) == 1
    assert newer.advise(advisory(), now=now)


def test_older_read_only_registry_lists_no_advisories(
    stocked: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(folder, 1).writing() as connection:
        command.downgrade(alembic_config(connection), "0001")
    database = sqlite3.connect(folder / "registry.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("PRAGMA journal_mode = DELETE")
    database.close()
    from skillpm_registry.db import disk

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may write anything, so the lock itself refuses.
    monkeypatch.setattr(disk, "lock_descriptor", refuse)
    older = open_registry(folder)
    assert len(older.skills()) == 1
    assert older.advisories() == []
