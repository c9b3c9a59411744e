"""Requests and responses of a registry's service that are about people and their rights.

As in `registry_api`, requests refuse unknown keys, and times are UTC.
"""

from typing import Annotated, Literal

from pydantic import Field

from skillpm.spec.fields import NUMBER, Document, empty_dict
from skillpm.spec.registry_api import ApiRequest
from skillpm.spec.served import NamespaceField

DAY = 86_400.0
EXPIRY_LIMIT = 90 * DAY
"""Seconds for which a token may be valid."""
PATTERN_LIMIT = 100
Action = Literal["read", "publish", "publish-new", "yank", "admin"]
ACTIONS: tuple[Action, ...] = ("read", "publish", "publish-new", "yank", "admin")
Role = Literal["owner", "maintainer", "publisher", "reader"]
ROLES: tuple[Role, ...] = ("owner", "maintainer", "publisher", "reader")
Seconds = Annotated[float, NUMBER, Field(gt=0, le=EXPIRY_LIMIT, strict=False)]
_PRINCIPAL = r"^[a-z0-9]([a-z0-9._@:+-]{0,126}[a-z0-9])?$"
Principal = Annotated[str, Field(pattern=_PRINCIPAL, max_length=128)]
"""A person, a team or a machine: `alice`, `alice@example.org`, `ci:acme`."""
_PART = r"(\*|[a-z0-9][a-z0-9._-]{0,63}\*?)"
Pattern = Annotated[str, Field(pattern=rf"^({_PART}/{_PART}|\*)$", max_length=131)]
"""Names of skills: `acme/math`, `acme/*`, `acme/math-*`, or `*` for all."""


class NamespaceRequest(ApiRequest):
    """`POST /v1/namespaces`: create a namespace. Needs the action `admin`."""

    name: NamespaceField
    owner: Principal | None = None
    private: bool = False


class NamespaceChange(ApiRequest):
    """`PATCH /v1/namespaces/NAMESPACE`: hide it from everybody without a role in it."""

    private: bool


class MemberRequest(ApiRequest):
    """`POST /v1/namespaces/NAMESPACE/members`: grant a role."""

    principal: Principal
    role: Role


class MemberDocument(Document):
    """A member of a namespace."""

    principal: str
    role: Role
    since: str


class MemberList(Document):
    """The members of a namespace, sorted by principal."""

    members: list[MemberDocument]


class NamespaceDocument(Document):
    """A namespace, with the role of the principal that asks."""

    name: str
    private: bool
    role: Role | None = None
    created: str


class NamespaceList(Document):
    """The namespaces that a principal may see, sorted by name."""

    namespaces: list[NamespaceDocument]


Claim = Annotated[str, Field(min_length=1, max_length=512)]


class PublisherRequest(ApiRequest):
    """`POST /v1/namespaces/NAMESPACE/publishers`: trust tokens of an OIDC issuer.

    `claims` are those that a token must have with exactly these values. At least one must be an
    immutable identifier of the issuer, such as `repository_id`. `pattern` names the skills.
    """

    issuer: Annotated[str, Field(max_length=512)]
    claims: dict[Claim, Claim] = Field(min_length=1, max_length=16)
    pattern: Pattern
    new: bool = False


class PublisherDocument(Document):
    """A rule of trusted publishing. With `new`, its tokens may publish skills that are new."""

    id: str
    issuer: str
    claims: dict[str, str]
    pattern: str
    new: bool = False
    since: str


class PublisherList(Document):
    """The rules of trusted publishing of a namespace."""

    publishers: list[PublisherDocument]


class TokenRequest(ApiRequest):
    """`POST /v1/tokens`: create a token. `expires_in` is in seconds, at most 90 days.

    `principal` needs the action `admin`; the default is the principal that asks. A token that may
    `publish-new` but not `publish` creates one skill, and is then spent.
    """

    actions: list[Action] = Field(min_length=1, max_length=len(ACTIONS))
    patterns: list[Pattern] = Field(min_length=1, max_length=PATTERN_LIMIT)
    expires_in: Seconds = 30 * DAY
    principal: Principal | None = None
    note: Annotated[str, Field(max_length=200)] = ""


class TokenDocument(Document):
    """A token without its secret."""

    id: str
    principal: str
    actions: list[Action]
    patterns: list[str]
    created: str
    expires: str
    note: str = ""
    revoked: bool = False


class NewToken(TokenDocument):
    """A new token. `token` is the secret; the registry keeps its hash, and shows it only here."""

    token: str


class TokenList(Document):
    """The valid tokens of a principal; for administrators, of all principals."""

    tokens: list[TokenDocument]


class ExchangeRequest(ApiRequest):
    """`POST /v1/oidc/exchange`: an OIDC token of a CI service for a token of 15 minutes."""

    token: Annotated[str, Field(min_length=1, max_length=32_768)]
    namespace: NamespaceField | None = None


class WhoamiDocument(Document):
    """`GET /v1/whoami`: the principal of a token, and its roles by namespace."""

    principal: str
    administrator: bool
    token: TokenDocument
    roles: dict[str, Role] = Field(default_factory=empty_dict)
