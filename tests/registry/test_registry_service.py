import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skillpm.errors import StateError
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version
from skillpm_registry.errors import (
    ReleaseExistsError,
    UnknownReleaseError,
)
from skillpm_registry.service import Registry, open_registry

MATH = SkillName("acme", "math")
ONE = Version.parse("1.0.0")
MakePack = Callable[..., Any]
Contents = Callable[[], dict[Path, bytes]]


def test_published_release_is_listed_with_the_data_for_resolution(
    registry: Registry, make_pack: MakePack
) -> None:
    pack = make_pack(requires=["acme/numbers ^1"], conflicts=["acme/words"])

    published = pack.publish(registry)

    release = published.release
    assert published.created
    assert registry.releases([MATH]) == {MATH: (release,)}
    assert (release.skill, release.version, release.digest) == (MATH, ONE, pack.digest)
    assert release.size == len(pack.image) + sum(map(len, pack.blobs.values()))
    assert str(release.base) == "sha256:" + "ab" * 32
    assert release.requires == (Requirement.parse("acme/numbers ^1"),)
    assert release.conflicts == (Requirement.parse("acme/words"),)
    assert (release.summary, release.license) == ("Adds numbers", "Apache-2.0")
    assert (release.scheme, release.created) == ("lossless", "2024-05-17T12:00:00Z")
    assert release.payload_bytes == pack.manifest.compression.payload_bytes
    assert not release.yanked


def test_blobs_and_oci_manifest_are_read_back(registry: Registry, make_pack: MakePack) -> None:
    pack = make_pack()
    pack.publish(registry)

    for digest, data in {pack.digest: pack.image, **pack.blobs}.items():
        with registry.open_blob(digest) as source:
            assert source.read() == data


def test_reopened_registry_has_the_published_releases(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    release = make_pack().publish(registry).release

    assert open_registry(folder).releases([MATH]) == {MATH: (release,)}


def test_publishing_the_same_digest_again_changes_nothing(
    registry: Registry, make_pack: MakePack, contents: Contents
) -> None:
    first = make_pack().publish(registry)
    before = contents()

    again = make_pack().publish(registry)

    assert not again.created
    assert again.release == first.release
    assert contents() == before


def test_publishing_other_contents_under_an_existing_version_is_refused(
    registry: Registry, make_pack: MakePack, contents: Contents
) -> None:
    first, other = make_pack(), make_pack(b"other")
    first.publish(registry)
    before = contents()

    with pytest.raises(ReleaseExistsError) as refused:
        other.publish(registry)

    assert isinstance(refused.value, StateError)
    assert str(first.digest) in refused.value.message
    assert str(other.digest) in refused.value.message
    assert "--version" in (refused.value.hint or "")
    assert contents() == before


def test_versions_are_sorted_as_versions(registry: Registry, make_pack: MakePack) -> None:
    for version in ("1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0"):
        make_pack(version=version).publish(registry)

    versions = [str(release.version) for release in registry.releases([MATH])[MATH]]

    assert versions == ["1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]


def test_blobs_shared_by_versions_are_stored_once(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    make_pack(version="1.0.0").publish(registry)
    make_pack(version="1.1.0").publish(registry)

    # Two OCI manifests, two configs, and one payload.
    assert sum(path.is_file() for path in (folder / "blobs").rglob("*")) == 5


def test_pack_may_contain_another_pack_as_its_layers(
    registry: Registry, make_pack: MakePack
) -> None:
    inner = make_pack()
    make_pack(version="2.0.0", extra=(inner.image, *inner.blobs.values())).publish(registry)

    assert inner.publish(registry).created


def test_pack_may_contain_a_blob_twice(registry: Registry, make_pack: MakePack) -> None:
    assert make_pack(extra=(b"same", b"same")).publish(registry).created


def test_unknown_skills_are_absent(registry: Registry, make_pack: MakePack) -> None:
    make_pack().publish(registry)

    assert registry.releases([SkillName("acme", "nothing")]) == {}
    assert registry.releases([]) == {}


def test_skills_are_listed_by_name(registry: Registry, make_pack: MakePack) -> None:
    for name in ("beta/b", "acme/z", "acme/a"):
        make_pack(skill=name).publish(registry)

    assert [str(name) for name in registry.skills()] == ["acme/a", "acme/z", "beta/b"]


def test_yanked_release_is_listed_with_its_reason(
    registry: Registry, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish(registry)

    release = registry.yank(MATH, ONE, reason="adds wrongly", now=now)

    assert (release.yanked, release.yank_reason) == (True, "adds wrongly")
    assert registry.releases([MATH])[MATH] == (release,)


def test_yanking_again_replaces_the_reason_and_keeps_the_time(
    registry: Registry, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish(registry)
    registry.yank(MATH, ONE, reason="adds wrongly", now=now)

    release = registry.yank(MATH, ONE, reason="licence", now=now + timedelta(days=1))

    assert release.yank_reason == "licence"
    with registry._catalog.database.reading() as connection:
        times = connection.exec_driver_sql("SELECT yanked_at FROM release").scalars().all()
    assert times == ["2024-05-17 12:30:00.000000"]


def test_unyank_is_idempotent(registry: Registry, make_pack: MakePack, now: datetime) -> None:
    first = make_pack().publish(registry).release
    registry.yank(MATH, ONE, reason="adds wrongly", now=now)

    assert registry.unyank(MATH, ONE) == first
    assert registry.unyank(MATH, ONE) == first


def test_yank_does_not_affect_other_releases(
    registry: Registry, make_pack: MakePack, now: datetime
) -> None:
    for name, version in (("acme/math", "1.0.0"), ("acme/math", "1.0.1"), ("beta/math", "1.0.0")):
        make_pack(skill=name, version=version).publish(registry)

    registry.yank(MATH, ONE, reason="", now=now)

    listed = registry.releases([MATH, SkillName("beta", "math")])
    assert [each.yanked for group in listed.values() for each in group] == [True, False, False]


def test_yank_of_an_unknown_release_is_an_error(
    registry: Registry, make_pack: MakePack, now: datetime
) -> None:
    make_pack().publish(registry)

    with pytest.raises(UnknownReleaseError) as refused:
        registry.yank(MATH, Version.parse("9.0.0"), reason="", now=now)
    with pytest.raises(UnknownReleaseError):
        registry.unyank(SkillName("acme", "nothing"), ONE)

    assert refused.value.exit_code == 4
    assert "`acme/math` 9.0.0 is not in registry" in refused.value.message


@pytest.mark.parametrize("opened", [False, True])
def test_client_imports_neither_alembic_nor_tensor_libraries(
    registry: Registry, folder: Path, *, opened: bool
) -> None:
    script = "import sys, skillpm_registry.service as s;"
    script += f"s.open_registry(s.Path({str(folder)!r})).skills();" if opened else ""
    script += "assert not {'alembic', 'torch', 'numpy', 'sqlalchemy.orm'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", script], check=True)
