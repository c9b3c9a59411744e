"""An endpoint: a path, the function that answers, and what OpenAPI says about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skillpm.spec.fields import DIGEST_PATTERN, HALF_PATTERN, Document
from skillpm.spec.names import HALF_LIMIT
from skillpm_registry.app.replies import JSON, ServiceReply
from skillpm_registry.app.service import ServiceCall

DOCUMENT_LIMIT = 64 << 10
"""Bytes of a JSON body."""
Limited = Literal["reads", "writes", "exchanges", "none"]
Schema = Mapping[str, Any]


def _text(pattern: str, longest: int) -> Schema:
    return {"type": "string", "pattern": pattern, "minLength": 1, "maxLength": longest}


_HEX = DIGEST_PATTERN.replace("sha256:", "")
PATH: Mapping[str, Schema] = {
    "namespace": _text(f"^{HALF_PATTERN}$", HALF_LIMIT),
    "name": _text(f"^{HALF_PATTERN}$", HALF_LIMIT),
    "version": _text(r"^[0-9A-Za-z.+-]+$", 128),
    "digest": _text(_HEX, 64),
    "prefix": _text("^[0-9a-f]{2}$", 2),
    "upload": _text("^[A-Za-z0-9_-]+$", 128),
    "token": _text("^[A-Za-z0-9_-]+$", 128),
    "principal": _text(r"^[a-z0-9._@:+-]+$", 128),
    "publisher": _text("^[0-9]+$", 18),
    "advisory": _text("^[A-Za-z0-9._:-]+$", 128),
}
"""The parameters in paths."""
NUMBER: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string", "maxLength": 500}


@dataclass(frozen=True)
class ServiceEndpoint:
    """An endpoint of the service.

    `body` is the model of a JSON body, or the media type of a raw one of at most `size` bytes.
    `quick` answers in the event loop what is in the static tree, without a thread; None leaves the
    request to `run`. `reply` is the model of the answer, or its media type. `query` and `header`
    are parameters with their JSON Schemas. `limit` names the rate limit.
    """

    method: str
    path: str
    run: Callable[[ServiceCall], ServiceReply]
    reply: type[Document] | str = JSON
    status: int = 200
    body: type[Document] | str | None = None
    size: int = DOCUMENT_LIMIT
    limit: Limited = "reads"
    query: Mapping[str, Schema] = field(default_factory=dict)
    header: Mapping[str, Schema] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    quick: Callable[[ServiceCall], ServiceReply | None] | None = None

    @property
    def name(self) -> str:
        """The name of the operation, unique."""
        return f"{self.run.__module__.rpartition('.')[2]}_{self.run.__name__}"

    @property
    def summary(self) -> str:
        """The first sentence of the function's documentation."""
        text = (self.run.__doc__ or "").strip().split("\n")[0]
        return text.removesuffix(".")
