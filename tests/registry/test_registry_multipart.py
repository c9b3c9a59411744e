"""Multipart uploads that killed servers left in a bucket: a sweep aborts them after a day."""

import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from services import BUCKET, KEY

from skillpm.errors import DigestMismatchError
from skillpm.spec.digests import Digest
from skillpm_registry.backend import BackendPlaces, open_backend
from skillpm_registry.blobs.bucket import Bucket
from skillpm_registry.blobs.multipart import BucketAccess, signed
from skillpm_registry.refusals import BlobStoreError

DATA = bytes(range(256)) * 80_000  # 20 MB: three parts.
DIGEST = Digest.of(DATA)
DAY = timedelta(days=1)
CEPH = pytest.param("ceph_bucket", marks=pytest.mark.services)


@pytest.fixture(params=["bucket", CEPH])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def begun(request: pytest.FixtureRequest, url: str) -> datetime:
    """When uploads that begin now began: moto says 2010 of all."""
    del url
    is_moto = request.node.callspec.params["url"] == "bucket"
    return datetime(2010, 11, 10, tzinfo=UTC) if is_moto else datetime.now(UTC)


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """boto3, which lists uploads by code that is not ours."""
    del url
    boto3 = pytest.importorskip("boto3")
    made = boto3.client(
        "s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id=KEY, aws_secret_access_key=KEY,
    )  # fmt: skip
    yield made
    made.close()


def unfinished(client: Any, url: str) -> list[str]:
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    listed = client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{prefix}/")
    return sorted(found["Key"] for found in listed.get("Uploads", []))


def test_upload_that_failed_is_aborted_a_day_later(url: str, client: Any, begun: datetime) -> None:
    store = Bucket(url)
    with pytest.raises(DigestMismatchError):
        store.put(DIGEST, len(DATA), io.BytesIO(DATA[:-1] + b"x"))
    assert len(unfinished(client, url)) == 1

    assert store.tidy(begun - DAY) == 0
    assert len(unfinished(client, url)) == 1
    assert store.tidy(begun + DAY) == 1

    assert unfinished(client, url) == []
    assert store.size(DIGEST) is None


def test_sweep_aborts_uploads_of_this_registry_only(
    url: str, client: Any, tmp_path: Path, begun: datetime
) -> None:
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    names = [f"{prefix}/blobs/sha256/ab/x y+z%{number:03}" for number in range(3)]
    for name in (*names, f"{prefix}/others", f"{prefix}2/blobs/sha256/ab/0"):
        started = client.create_multipart_upload(Bucket=BUCKET, Key=name)
        client.upload_part(
            Bucket=BUCKET, Key=name, PartNumber=1, UploadId=started["UploadId"], Body=b"part"
        )
    places = BackendPlaces(f"sqlite:///{tmp_path}/served/registry.db", url, f"{tmp_path}/public")
    backend = open_backend(places, create=True)

    assert backend.collector.sweep(now=begun).uploads == 0
    assert backend.collector.sweep(now=begun + 2 * DAY).uploads == 3

    assert unfinished(client, url) == [f"{prefix}/others"]
    backend.close()


def test_store_that_refuses_the_request_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    places = BackendPlaces(f"sqlite:///{tmp_path}/served/registry.db", url, f"{tmp_path}/public")
    backend = open_backend(places, create=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(BlobStoreError, match="skills"):
        backend.blobs.tidy(datetime.now(UTC))
    assert not backend.collector.sweep(now=datetime.now(UTC)).skipped

    assert "unfinished objects stay" in caplog.text
    backend.close()


def test_bucket_without_keys_leaves_uploads_to_its_own_rule(
    url: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create_multipart_upload(
        Bucket=BUCKET, Key=f"{url.removeprefix(f's3://{BUCKET}/')}/blobs/sha256/ab/x"
    )
    store = Bucket(url)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert store.tidy(datetime.now(UTC) + DAY) == 0
    assert len(unfinished(client, url)) == 1


@pytest.mark.parametrize("session", [None, "to/ken+"])
def test_signature_is_that_of_botocore(session: str | None) -> None:
    auth = pytest.importorskip("botocore.auth")
    request_class = pytest.importorskip("botocore.awsrequest").AWSRequest
    keys_class = pytest.importorskip("botocore.credentials").Credentials

    access = BucketAccess("https://s3.example:9000/skills", "eu-west-1", "id", "secret", session)
    query = {"uploads": "", "prefix": "a b/c+d", "encoding-type": "url"}
    now = datetime.now(UTC)
    url, headers = signed(access, "GET", "k e/y", query, now)
    request = request_class("GET", url, {"x-amz-content-sha256": headers["x-amz-content-sha256"]})
    request.context["timestamp"] = headers["x-amz-date"]
    signer = auth.S3SigV4Auth(keys_class("id", "secret", session), "s3", "eu-west-1")
    signer._modify_request_before_signing(request)
    expected = signer.signature(
        signer.string_to_sign(request, signer.canonical_request(request)), request
    )

    assert headers["authorization"].endswith(f"Signature={expected}")


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "https://s3.us-east-1.amazonaws.com/skills"),
        ({"AWS_REGION": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/skills"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/"}, "http://127.0.0.1:9000/skills"),
        (
            {"AWS_ENDPOINT_URL": "http://skills.s3", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
            "http://skills.s3",
        ),
    ],
)
def test_address_of_the_bucket_follows_the_variables(variables: dict[str, str], url: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}

    found = BucketAccess.of("skills", {**keys, **variables})

    assert found is not None
    assert found.url == url
    assert BucketAccess.of("skills", variables) is None
