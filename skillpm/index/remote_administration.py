"""Administration of a registry over HTTP, with a token that has the action `admin`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from skillpm.spec import json
from skillpm.spec.fields import Document, read_document
from skillpm.spec.registry_api import SweepDocument
from skillpm.spec.registry_people import (
    MemberList,
    MemberRequest,
    NamespaceChange,
    NamespaceDocument,
    NamespaceList,
    NamespaceRequest,
    NewToken,
    PublisherDocument,
    PublisherList,
    PublisherRequest,
    TokenList,
    TokenRequest,
)

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class AdminRequest:
    """A request to a service. `action` completes "cannot …" in errors."""

    method: str
    path: str
    action: str
    body: bytes = b""


Ask = Callable[[AdminRequest], bytes]
"""Sends a request and returns the body of the answer. Raises the error of a refused request."""


class RemoteAdministration:
    """Administers a registry through `ask`. `close` releases what `ask` holds."""

    def __init__(self, ask: Ask, close: Callable[[], None]) -> None:
        self._ask = ask
        self.close = close

    def create_namespace(self, request: NamespaceRequest) -> NamespaceDocument:
        """Create a namespace."""
        action = f"create the namespace `{request.name}`"
        return self._post(NamespaceDocument, "/v1/namespaces", action, request)

    def namespaces(self) -> NamespaceList:
        """The namespaces that the token may see."""
        return self._get(NamespaceList, "/v1/namespaces", "list the namespaces")

    def change_namespace(self, name: str, change: NamespaceChange) -> NamespaceDocument:
        """Make a public namespace private. The reverse is refused."""
        body = json.canonical(change.to_dict())
        request = AdminRequest("PATCH", _space(name), f"change the namespace `{name}`", body)
        return _read(NamespaceDocument, self._ask(request))

    def members(self, name: str) -> MemberList:
        """The members of a namespace."""
        return self._get(MemberList, f"{_space(name)}/members", f"list the members of `{name}`")

    def grant(self, name: str, request: MemberRequest) -> MemberList:
        """Give a principal a role."""
        action = f"grant a role in `{name}`"
        return self._post(MemberList, f"{_space(name)}/members", action, request)

    def revoke(self, name: str, principal: str) -> None:
        """Remove a member."""
        self._delete(f"{_space(name)}/members/{_quoted(principal)}", f"remove `{principal}`")

    def publishers(self, name: str) -> PublisherList:
        """The rules of trusted publishing of a namespace."""
        return self._get(PublisherList, f"{_space(name)}/publishers", f"list the rules of `{name}`")

    def trust(self, name: str, request: PublisherRequest) -> PublisherDocument:
        """Add a rule of trusted publishing."""
        action = f"add a rule to `{name}`"
        return self._post(PublisherDocument, f"{_space(name)}/publishers", action, request)

    def distrust(self, name: str, identifier: str) -> None:
        """Remove a rule of trusted publishing."""
        path = f"{_space(name)}/publishers/{_quoted(identifier)}"
        self._delete(path, f"remove the rule `{identifier}`")

    def create_token(self, request: TokenRequest) -> NewToken:
        """Create a token."""
        return self._post(NewToken, "/v1/tokens", "create a token", request)

    def tokens(self) -> TokenList:
        """The valid tokens that the token may see."""
        return self._get(TokenList, "/v1/tokens", "list the tokens")

    def revoke_token(self, identifier: str) -> None:
        """Revoke a token."""
        self._delete(f"/v1/tokens/{_quoted(identifier)}", f"revoke the token `{identifier}`")

    def sweep(self) -> SweepDocument:
        """Remove blobs that no release needs, and uploads that ended."""
        return self._post(SweepDocument, "/v1/sweep", "sweep", None)

    def _get(self, kind: type[D], path: str, action: str) -> D:
        return _read(kind, self._ask(AdminRequest("GET", path, action)))

    def _post(self, kind: type[D], path: str, action: str, request: Document | None) -> D:
        body = b"" if request is None else json.canonical(request.to_dict())
        return _read(kind, self._ask(AdminRequest("POST", path, action, body)))

    def _delete(self, path: str, action: str) -> None:
        self._ask(AdminRequest("DELETE", path, action))


def _read(kind: type[D], data: bytes) -> D:
    what = "the registry's answer"
    return read_document(kind, json.parse_object(data, what), what)


def _space(name: str) -> str:
    return f"/v1/namespaces/{_quoted(name)}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
