"""The protocol of a registry's administration, on its own machine or over HTTP."""

from typing import Protocol

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


class Administration(Protocol):
    """Administers a registry. Requests that are not allowed raise `AuthError`."""

    def create_namespace(self, request: NamespaceRequest) -> NamespaceDocument:
        """Create a namespace."""
        ...

    def namespaces(self) -> NamespaceList:
        """The namespaces that the user may see."""
        ...

    def change_namespace(self, name: str, change: NamespaceChange) -> NamespaceDocument:
        """Make a public namespace private. The reverse is refused."""
        ...

    def members(self, name: str) -> MemberList:
        """The members of a namespace."""
        ...

    def grant(self, name: str, request: MemberRequest) -> MemberList:
        """Give a principal a role."""
        ...

    def revoke(self, name: str, principal: str) -> None:
        """Remove a member."""
        ...

    def publishers(self, name: str) -> PublisherList:
        """The rules of trusted publishing of a namespace."""
        ...

    def trust(self, name: str, request: PublisherRequest) -> PublisherDocument:
        """Add a rule of trusted publishing."""
        ...

    def distrust(self, name: str, identifier: str) -> None:
        """Remove a rule of trusted publishing."""
        ...

    def create_token(self, request: TokenRequest) -> NewToken:
        """Create a token."""
        ...

    def tokens(self) -> TokenList:
        """The valid tokens that the user may see."""
        ...

    def revoke_token(self, identifier: str) -> None:
        """Revoke a token."""
        ...

    def sweep(self) -> SweepDocument:
        """Remove blobs that no release needs, and uploads that ended."""
        ...

    def close(self) -> None:
        """Release all resources."""
        ...
