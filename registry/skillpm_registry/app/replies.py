"""What an endpoint answers, and how it becomes a response."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from starlette.responses import FileResponse, Response

from skillpm.spec.fields import Document

JSON = "application/json"
NO_STORE = {"cache-control": "no-store"}


@dataclass(frozen=True)
class ServiceReply:
    """An answer: a document, raw bytes, or a file that is sent without reading it here."""

    content: Document | bytes | Path = b""
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The response of Starlette. Files answer `Range` and `If-Range`."""
        headers = {"x-content-type-options": "nosniff", **self.headers}
        if isinstance(self.content, Path):
            return FileResponse(self.content, self.status, headers, media_type=self.media_type)
        if isinstance(self.content, Document):
            body = self.content.model_dump_json(by_alias=True).encode()
            return Response(body, self.status, {**NO_STORE, **headers}, self.media_type)
        return Response(self.content, self.status, headers, self.media_type)


def time_text(moment: datetime) -> str:
    """A time in UTC as documents write it: `2026-01-31T12:00:00Z`."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
