import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from skillpm.errors import DigestMismatchError, IntegrityError, SpecError, StateError
from skillpm.spec.digests import Digest
from skillpm_registry.errors import (
    BlobMissingError,
    BlobNotFoundError,
    BlobSizeError,
)
from skillpm_registry.service import Registry

MakePack = Callable[..., Any]
Contents = Callable[[], dict[Path, bytes]]


def test_publish_of_bytes_that_do_not_match_their_digest_changes_nothing(
    registry: Registry, make_pack: MakePack, contents: Contents
) -> None:
    make_pack().publish(registry)
    before = contents()
    pack = make_pack(b"second", version="2.0.0")
    *_, last = pack.blobs
    pack.blobs[last] = bytes(len(pack.blobs[last]))

    with pytest.raises(DigestMismatchError) as refused:
        pack.publish(registry)

    assert refused.value.expected == str(last)
    assert contents() == before


@pytest.mark.parametrize(("lie", "found"), [(b"xy", "longer"), (b"", "4")])
def test_publish_of_blobs_with_a_wrong_size_changes_nothing(
    registry: Registry, make_pack: MakePack, contents: Contents, lie: bytes, found: str
) -> None:
    before = contents()
    pack = make_pack(extra=(b"extra",))
    pack.blobs[Digest.of(b"extra")] = b"extra" + lie if lie else b"extr"

    with pytest.raises(BlobSizeError, match=found) as refused:
        pack.publish(registry)

    assert isinstance(refused.value, IntegrityError)
    assert contents() == before


def test_publish_of_an_altered_manifest_changes_nothing(
    registry: Registry, make_pack: MakePack, contents: Contents
) -> None:
    before = contents()
    pack = make_pack()
    config = next(iter(pack.blobs))
    pack.blobs[config] = pack.blobs[config].replace(b"Adds", b"Subs")

    with pytest.raises(DigestMismatchError):
        pack.publish(registry)

    assert contents() == before


def test_publish_does_not_read_a_manifest_that_claims_a_huge_size(
    registry: Registry, make_pack: MakePack, now: datetime
) -> None:
    pack = make_pack()
    config = pack.blobs[next(iter(pack.blobs))]
    image = pack.image.replace(b'"size":%d' % len(config), b'"size":64000001')

    with pytest.raises(SpecError, match="at most 64000000"):
        registry.publish(image, pack.open, now=now)


def test_publish_from_a_failing_source_changes_nothing(
    registry: Registry, make_pack: MakePack, contents: Contents, now: datetime
) -> None:
    before = contents()
    pack = make_pack()
    *_, last = pack.blobs

    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _buffer: object) -> int:
            raise OSError(5, "Input/output error")

    def source(digest: Digest) -> Any:
        return Broken() if digest == last else pack.open(digest)

    with pytest.raises(StateError, match="of the pack cannot be read: Input/output error"):
        registry.publish(pack.image, source, now=now)

    assert contents() == before


def test_open_blob_of_an_unknown_blob_is_not_found(registry: Registry) -> None:
    with pytest.raises(BlobNotFoundError) as refused:
        registry.open_blob(Digest.of(b"nothing"))

    assert refused.value.exit_code == 1


def test_open_blob_of_a_missing_file_is_an_integrity_error(
    registry: Registry, make_pack: MakePack, folder: Path
) -> None:
    pack = make_pack()
    pack.publish(registry)
    (folder / "blobs" / "sha256" / pack.digest.hex[:2] / pack.digest.hex).unlink()

    with pytest.raises(BlobMissingError) as refused:
        registry.open_blob(pack.digest)

    assert refused.value.exit_code == 3


def test_publish_again_restores_lost_and_damaged_blobs(
    registry: Registry, make_pack: MakePack, folder: Path, contents: Contents
) -> None:
    pack = make_pack()
    pack.publish(registry)
    whole = contents()
    lost, damaged, cut = (folder / "blobs" / "sha256" / d.hex[:2] / d.hex
                          for d in (pack.digest, *pack.blobs))  # fmt: skip
    lost.unlink()
    damaged.write_bytes(bytes(damaged.stat().st_size))
    cut.write_bytes(b"")

    assert not pack.publish(registry).created

    assert contents() == whole
