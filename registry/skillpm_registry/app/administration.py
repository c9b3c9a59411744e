"""Administration on the server's own machine: the endpoints, called without HTTP."""

from collections.abc import Callable
from typing import TypeVar

from skillpm.spec.fields import Document
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
from skillpm_registry.app.access.rights import LOCAL_CALLER
from skillpm_registry.app.endpoints import namespaces, tokens, upkeep
from skillpm_registry.app.replies import ServiceReply
from skillpm_registry.app.service import Service, ServiceCall, now_in_utc
from skillpm_registry.catalog.actor import LOCAL

D = TypeVar("D", bound=Document)
_Run = Callable[[ServiceCall], ServiceReply]


class LocalAdministration:
    """Administers a registry as the owner of its machine."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def create_namespace(self, request: NamespaceRequest) -> NamespaceDocument:
        """Create a namespace."""
        return self._ask(namespaces.create, NamespaceDocument, document=request)

    def namespaces(self) -> NamespaceList:
        """All namespaces."""
        return self._ask(namespaces.listed, NamespaceList)

    def change_namespace(self, name: str, change: NamespaceChange) -> NamespaceDocument:
        """Make a public namespace private. The reverse is refused."""
        return self._ask(namespaces.change, NamespaceDocument, document=change, namespace=name)

    def members(self, name: str) -> MemberList:
        """The members of a namespace."""
        return self._ask(namespaces.members, MemberList, namespace=name)

    def grant(self, name: str, request: MemberRequest) -> MemberList:
        """Give a principal a role."""
        return self._ask(namespaces.grant, MemberList, document=request, namespace=name)

    def revoke(self, name: str, principal: str) -> None:
        """Remove a member."""
        self._run(namespaces.revoke, namespace=name, principal=principal)

    def publishers(self, name: str) -> PublisherList:
        """The rules of trusted publishing of a namespace."""
        return self._ask(namespaces.publishers, PublisherList, namespace=name)

    def trust(self, name: str, request: PublisherRequest) -> PublisherDocument:
        """Add a rule of trusted publishing."""
        return self._ask(namespaces.trust, PublisherDocument, document=request, namespace=name)

    def distrust(self, name: str, identifier: str) -> None:
        """Remove a rule of trusted publishing."""
        self._run(namespaces.distrust, namespace=name, publisher=identifier)

    def create_token(self, request: TokenRequest) -> NewToken:
        """Create a token; without a principal, for an administrator of the registry."""
        if request.principal is None:
            principals = self._service.people.principals
            principals.make_administrator(LOCAL_CALLER.name, LOCAL, now=now_in_utc())
        return self._ask(tokens.create, NewToken, document=request)

    def tokens(self) -> TokenList:
        """All valid tokens."""
        return self._ask(tokens.listed, TokenList)

    def revoke_token(self, identifier: str) -> None:
        """Revoke a token."""
        self._run(tokens.revoke, token=identifier)

    def sweep(self) -> SweepDocument:
        """Remove blobs that no release needs, and uploads that ended."""
        return self._ask(upkeep.sweep, SweepDocument)

    def close(self) -> None:
        """Close the registry."""
        self._service.backend.close()

    def _ask(self, endpoint: _Run, kind: type[D], *, document: object = None, **path: str) -> D:
        content = self._run(endpoint, document=document, **path).content
        if not isinstance(content, kind):
            raise TypeError(type(content))
        return content

    def _run(self, endpoint: _Run, *, document: object = None, **path: str) -> ServiceReply:
        return endpoint(
            ServiceCall(
                service=self._service,
                caller=LOCAL_CALLER,
                now=now_in_utc(),
                path=path,
                query={},
                headers={},
                document=document,
            )
        )
