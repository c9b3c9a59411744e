"""JSON documents of caches, with their own digest: a damaged file is not believed."""

from typing import Any

from skillpm.errors import IntegrityError
from skillpm.spec import json
from skillpm.spec.digests import Digest


def seal(content: dict[str, Any]) -> bytes:
    """The canonical bytes of a document that holds `content` and its digest."""
    return json.canonical({"content": content, "digest": _digest(content)})


def unseal(data: bytes, what: str) -> dict[str, Any]:
    """The content of a sealed document.

    Raises `SpecError` if the bytes are no JSON object, `IntegrityError` if the digest differs.
    """
    document = json.parse_object(data, what)
    content = document.get("content")
    if not isinstance(content, dict) or document.get("digest") != _digest(content):
        raise IntegrityError(f"{what}: the content does not match its digest")
    return content


def _digest(content: dict[str, Any]) -> str:
    return str(Digest.of(json.canonical(content)))
