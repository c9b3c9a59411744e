"""The JSON documents of accounts, storage, settings and served registries, as types.

See `skillpm.cli.documents`; `skillpm.cli.schemas` lists which command prints which document.
"""

from typing import TypedDict


class AccountDocument(TypedDict):
    """The result of `login` and `whoami`. `expires` is null for a token that does not expire."""

    registry: str
    principal: str
    expires: str | None


class LogoutDocument(TypedDict):
    """The result of `logout`."""

    registry: str
    removed: bool


class CompletionDocument(TypedDict):
    """The result of `completion`."""

    shell: str
    script: str


class DoctorRow(TypedDict):
    """A check of `doctor`. `status` is `ok`, `warn` or `fail`."""

    check: str
    status: str
    message: str
    hint: str | None


class LayerDocument(TypedDict):
    """A layer of the sandbox."""

    layer: str
    on: bool
    reason: str


class SandboxDocument(TypedDict):
    """The sandbox: its layers, and the layers that provide each protection."""

    layers: list[LayerDocument]
    protections: dict[str, list[str]]


class DoctorDocument(TypedDict):
    """The result of `doctor`. `sandbox` is null if the sandbox could not be started."""

    ok: bool
    checks: list[DoctorRow]
    sandbox: SandboxDocument | None


class PrunedDocument(TypedDict):
    """A generation that `gc` removes."""

    project: str
    generation: int


class GarbageDocument(TypedDict):
    """The result of `gc`."""

    dry_run: bool
    freed_blobs: int
    freed_bytes: int
    kept_blobs: int
    kept_bytes: int
    young_blobs: int
    young_bytes: int
    cache_bytes: int
    transfer_bytes: int
    pruned: list[PrunedDocument]
    projects: list[str]
    notes: list[str]


class StoredRelease(TypedDict):
    """The bytes of a release in the store; `own_bytes` are in no other release."""

    release: str
    digest: str
    bytes: int
    own_bytes: int


class CacheDocument(TypedDict):
    """The result of `cache info`."""

    home: str
    blobs: int
    sizes: dict[str, int]
    unreachable_bytes: int
    skills: list[StoredRelease]


class DamagedBlob(TypedDict):
    """A blob whose bytes do not have its digest."""

    digest: str
    skills: list[str]
    repaired: bool
    problem: str | None


class CheckedCache(TypedDict):
    """The result of `cache verify`."""

    checked: int
    bytes: int
    damaged: list[DamagedBlob]


class CleanedCache(TypedDict):
    """The result of `cache clean`."""

    freed_bytes: int


class HomeDocument(TypedDict):
    """The result of `cache path`."""

    home: str
    store: str
    cache: str


class RegistryDocument(TypedDict):
    """The result of `registry init PATH`."""

    registry: str


class NoTokenDocument(TypedDict):
    """The result of `registry init --config` if an administrator has a valid token already."""

    token: None


class TokenSecretDocument(TypedDict):
    """A new token. `token` is the secret, which is shown only here."""

    token: str
    id: str
    principal: str
    actions: list[str]
    patterns: list[str]
    expires: str


class RevokedToken(TypedDict):
    """The result of `registry token revoke`."""

    id: str
    revoked: bool


class RevokedMember(TypedDict):
    """The result of `registry namespace revoke`."""

    namespace: str
    principal: str
    revoked: bool


class RemovedRule(TypedDict):
    """The result of `registry namespace distrust`."""

    namespace: str
    rule: str
    removed: bool


class UpgradedDocument(TypedDict):
    """The result of `registry upgrade`."""

    upgraded: bool


class MigratedDocument(TypedDict):
    """The result of `registry migrate`."""

    blobs: int
    bytes: int
    rows: int


class SweptDocument(TypedDict):
    """The result of `registry sweep`."""

    blobs: int
    bytes: int
    uploads: int
