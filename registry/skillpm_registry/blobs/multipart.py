"""Multipart uploads to a bucket that were never completed: listed and aborted.

obstore neither lists nor aborts them, so these requests are signed here, by version 4 of Amazon's
signatures ("Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference).
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree as ET

import httpx

from skillpm_registry.refusals import BlobStoreError

_TIMEOUT = 60.0
_LIMIT = 8 << 20
"""Bytes of a listing. A page of 1,000 uploads has less than one MiB."""
_PAGES = 1000
_EMPTY = hashlib.sha256().hexdigest()
_TRUE = frozenset({"1", "true", "on", "yes", "y"})


class UnfinishedUpload(NamedTuple):
    """A multipart upload of an object that is not completed."""

    key: str
    id: str
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """The URL of a bucket, and the keys that sign requests to it."""

    url: str
    region: str
    key: str
    secret: str
    session: str | None = None

    @classmethod
    def of(cls, bucket: str, variables: Mapping[str, str]) -> "BucketAccess | None":
        """The access that the `AWS_*` variables give. None without keys, such as with a role."""
        key, secret = variables.get("AWS_ACCESS_KEY_ID"), variables.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            return None
        region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or "us-east-1"
        own = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
        end = (own or f"https://s3.{region}.amazonaws.com").rstrip("/")
        hosted = variables.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in _TRUE
        url = end if own and hosted else f"{end}/{bucket}"
        return cls(url, region, key, secret, variables.get("AWS_SESSION_TOKEN"))


class MultipartUploads:
    """The multipart uploads below a prefix of a bucket. `name` is the store in messages."""

    def __init__(self, name: str, access: BucketAccess, prefix: str) -> None:
        self.name = name
        self._access = access
        self._prefix = prefix

    def unfinished(self) -> Iterator[UnfinishedUpload]:
        """All uploads that are not completed. Raises `BlobStoreError`."""
        marker: dict[str, str] = {}
        for _ in range(_PAGES):
            query = {"uploads": "", "encoding-type": "url", "prefix": self._prefix, **marker}
            page = self._parsed(self._ask("GET", "", query))
            yield from map(_upload_of, _below(page, "Upload"))
            if _text(page, "IsTruncated") != "true":
                return
            marker = {
                "key-marker": unquote(_text(page, "NextKeyMarker")),
                "upload-id-marker": _text(page, "NextUploadIdMarker"),
            }

    def abort(self, upload: UnfinishedUpload) -> None:
        """Remove the parts of an upload. Raises `BlobStoreError`."""
        self._ask("DELETE", upload.key, {"uploadId": upload.id})

    def _ask(self, method: str, key: str, query: Mapping[str, str]) -> bytes:
        """Send a request, and return the body. An object that is unknown (404) is no error."""
        url, headers = signed(self._access, method, key, query, datetime.now(UTC))
        body = b""
        try:
            with (
                httpx.Client(timeout=_TIMEOUT) as client,
                client.stream(method, url, headers=headers) as response,
            ):
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _LIMIT:
                        raise BlobStoreError(self.name, "the list of uploads is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise BlobStoreError(self.name, str(problem) or type(problem).__name__) from problem
        if not response.is_success and response.status_code != httpx.codes.NOT_FOUND:
            raise BlobStoreError(self.name, f"{method} answered {response.status_code}")
        return body

    def _parsed(self, body: bytes) -> ET.Element:
        try:
            return ET.fromstring(body)  # noqa: S314 - expat bounds what entities expand to
        except ET.ParseError as problem:
            raise BlobStoreError(self.name, "the list of uploads is no XML") from problem


def signed(
    access: BucketAccess, method: str, key: str, query: Mapping[str, str], now: datetime
) -> tuple[str, dict[str, str]]:
    """The URL and the headers of a request without a body to a bucket or an object."""
    parts, moment = urlsplit(access.url), now.strftime("%Y%m%dT%H%M%SZ")
    path = quote(parts.path + (f"/{key}" if key else "")) or "/"
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
    question = "&".join(f"{name}={value}" for name, value in pairs)
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": moment}
    if access.session:
        headers["x-amz-security-token"] = access.session
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    request = "\n".join([method, path, question, *lines, "", names, _EMPTY])
    scope = f"{moment[:8]}/{access.region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    key_bytes = f"AWS4{access.secret}".encode()
    for part in scope.split("/"):
        key_bytes = hmac.digest(key_bytes, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    signature = hmac.digest(key_bytes, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access.key}/{scope},SignedHeaders={names},"
        f"Signature={signature}"
    )
    return f"{parts.scheme}://{parts.netloc}{path}?{question}", headers


def _below(element: ET.Element, name: str) -> Iterator[ET.Element]:
    """The children with a name, whatever their namespace: servers differ in it."""
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _text(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in _below(element, name)), "")


def _upload_of(element: ET.Element) -> UnfinishedUpload:
    """The upload of an element of a list. One without a time counts as new."""
    try:
        begun = datetime.fromisoformat(_text(element, "Initiated"))
    except ValueError:
        begun = datetime.max.replace(tzinfo=UTC)
    return UnfinishedUpload(
        unquote(_text(element, "Key")), _text(element, "UploadId"),
        begun if begun.tzinfo else begun.replace(tzinfo=UTC),
    )  # fmt: skip
