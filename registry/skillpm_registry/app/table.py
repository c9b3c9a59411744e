"""The table of all endpoints."""

from skillpm.spec import registry_api as api
from skillpm.spec import registry_people as people
from skillpm.spec.served import AdvisoryList, IndexDocument, RegistryConfig
from skillpm_registry.app.endpoint import NUMBER, TEXT, ServiceEndpoint
from skillpm_registry.app.endpoints import (
    advisories,
    namespaces,
    reading,
    releases,
    tokens,
    upkeep,
    uploads,
)
from skillpm_registry.app.replies import JSON

_BYTES = "application/octet-stream"
_TEXT = "text/plain"
_IMAGE = "application/vnd.oci.image.manifest.v1+json"
_OSV_LIMIT = 1 << 20
_RELEASE = "/v1/releases/{namespace}/{name}/{version}"
_SPACE = "/v1/namespaces/{namespace}"
_OFFSET = {api.OFFSET: {**NUMBER, "maximum": 2**53 - 1}}
_PAGE = {"after": NUMBER, "limit": {"type": "integer", "minimum": 1}}

READING = (
    ServiceEndpoint("GET", "/config.json", reading.config, RegistryConfig),
    ServiceEndpoint("GET", "/advisories/all.json", reading.advisories, AdvisoryList),
    ServiceEndpoint(
        "GET", "/index/{namespace}/{name}.json", reading.index, IndexDocument,
        quick=reading.public_index,
    ),
    ServiceEndpoint(
        "GET", "/index/{namespace}/{name}/{digest}.json", reading.index_of_digest, IndexDocument
    ),
    ServiceEndpoint("GET", "/blobs/sha256/{prefix}/{digest}", reading.blob, _BYTES),
    ServiceEndpoint(
        "GET", "/v1/search", reading.search, api.SearchPage,
        query={"q": TEXT, "after": {**NUMBER, "maximum": 10**6},
               "limit": {"type": "integer", "minimum": 1, "maximum": reading.PAGE_LIMIT}},
    ),
    ServiceEndpoint(
        "GET", "/v1/events", reading.events, api.EventPage,
        query={"after": {**NUMBER, "maximum": 10**18 - 1},
               "limit": {"type": "integer", "minimum": 1, "maximum": reading.EVENTS_LIMIT}},
    ),
    ServiceEndpoint("GET", "/v1/advisories", advisories.listed, AdvisoryList),
)  # fmt: skip
UPLOADS = (
    ServiceEndpoint(
        "POST", "/v1/uploads", uploads.begin, api.UploadDocument, 201, api.UploadRequest,
        limit="writes", errors=(409, 413, 422),
    ),
    ServiceEndpoint("GET", "/v1/uploads/{upload}", uploads.find, api.UploadDocument),
    ServiceEndpoint(
        "PATCH", "/v1/uploads/{upload}", uploads.append, api.UploadDocument, body=_BYTES,
        size=api.CHUNK_LIMIT, limit="writes", header=_OFFSET, errors=(409, 413, 422),
    ),
    ServiceEndpoint(
        "PUT", "/v1/uploads/{upload}", uploads.finish, api.UploadDocument, limit="writes",
        errors=(409, 422),
    ),
    ServiceEndpoint("DELETE", "/v1/uploads/{upload}", uploads.abort, _BYTES, 204, limit="writes"),
)  # fmt: skip
RELEASES = (
    ServiceEndpoint(
        "POST", "/v1/releases", releases.publish, api.ReleaseDocument, 201, _IMAGE,
        size=api.IMAGE_LIMIT, limit="writes", errors=(409, 413, 422),
    ),
    *(
        ServiceEndpoint(
            "POST", f"{_RELEASE}/{run.__name__}", run, api.ReleaseDocument, 201,
            body=api.ReasonRequest if run in (releases.yank, releases.quarantine) else None,
            limit="writes", errors=(409,),
        )
        for run in (releases.yank, releases.unyank, releases.quarantine, releases.release)
    ),
    ServiceEndpoint(
        "POST", "/v1/advisories", advisories.publish, api.AdvisoryResult, body=JSON,
        size=_OSV_LIMIT, limit="writes", errors=(409, 413),
    ),
    ServiceEndpoint(
        "POST", "/v1/advisories/{advisory}/withdraw", advisories.retract, api.AdvisoryResult,
        limit="writes",
    ),
)  # fmt: skip
PEOPLE = (
    ServiceEndpoint("GET", "/v1/whoami", tokens.whoami, people.WhoamiDocument),
    ServiceEndpoint("GET", "/v1/tokens", tokens.listed, people.TokenList),
    ServiceEndpoint(
        "POST", "/v1/tokens", tokens.create, people.NewToken, 201, people.TokenRequest,
        limit="writes",
    ),
    ServiceEndpoint("DELETE", "/v1/tokens/{token}", tokens.revoke, _BYTES, 204, limit="writes"),
    ServiceEndpoint(
        "POST", "/v1/oidc/exchange", tokens.exchange, people.NewToken, 201, people.ExchangeRequest,
        limit="exchanges",
    ),
    ServiceEndpoint("GET", "/v1/namespaces", namespaces.listed, people.NamespaceList),
    ServiceEndpoint(
        "POST", "/v1/namespaces", namespaces.create, people.NamespaceDocument, 201,
        people.NamespaceRequest, limit="writes", errors=(409,),
    ),
    ServiceEndpoint("GET", _SPACE, namespaces.find, people.NamespaceDocument),
    ServiceEndpoint(
        "PATCH", _SPACE, namespaces.change, people.NamespaceDocument, body=people.NamespaceChange,
        limit="writes", errors=(409,),
    ),
    ServiceEndpoint("GET", f"{_SPACE}/members", namespaces.members, people.MemberList),
    ServiceEndpoint(
        "POST", f"{_SPACE}/members", namespaces.grant, people.MemberList, body=people.MemberRequest,
        limit="writes", errors=(409,),
    ),
    ServiceEndpoint(
        "DELETE", f"{_SPACE}/members/{{principal}}", namespaces.revoke, _BYTES, 204,
        limit="writes", errors=(409,),
    ),
    ServiceEndpoint("GET", f"{_SPACE}/publishers", namespaces.publishers, people.PublisherList),
    ServiceEndpoint(
        "POST", f"{_SPACE}/publishers", namespaces.trust, people.PublisherDocument, 201,
        people.PublisherRequest, limit="writes",
    ),
    ServiceEndpoint(
        "DELETE", f"{_SPACE}/publishers/{{publisher}}", namespaces.distrust, _BYTES, 204,
        limit="writes",
    ),
)  # fmt: skip
UPKEEP = (
    ServiceEndpoint("GET", "/healthz", upkeep.health, limit="none"),
    ServiceEndpoint("GET", "/readyz", upkeep.ready, limit="none"),
    ServiceEndpoint("GET", "/metrics", upkeep.metrics, _TEXT, limit="none"),
    ServiceEndpoint(
        "POST", "/v1/sweep", upkeep.sweep, api.SweepDocument, limit="writes", errors=(409,)
    ),
)  # fmt: skip
ENDPOINTS = (*READING, *UPLOADS, *RELEASES, *PEOPLE, *UPKEEP)
