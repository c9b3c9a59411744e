"""The tables of the catalogue, with constraints that refuse malformed values.

The constraints use SQL that both SQLite and PostgreSQL support. Triggers keep releases immutable;
the migrations create them.
"""

from skillpm_registry.tables.catalogue import (
    DELETING,
    LIVE,
    advisory,
    blob,
    blob_owner,
    lease,
    release,
    release_blob,
    release_entry,
    release_origin,
    skill,
    upload,
)
from skillpm_registry.tables.columns import metadata
from skillpm_registry.tables.log import (
    EVENTS,
    PUBLIC,
    event,
    index_document,
    log_head,
    log_leaf,
    replaced_file,
)
from skillpm_registry.tables.people import (
    ROLES,
    jti_seen,
    namespace,
    namespace_member,
    principal,
    publisher_rule,
    token,
)
from skillpm_registry.tables.search import search_row

__all__ = [
    "DELETING", "EVENTS", "LIVE", "PUBLIC", "ROLES", "advisory", "blob", "blob_owner", "event",
    "index_document", "jti_seen", "lease", "log_head", "log_leaf", "metadata", "namespace",
    "namespace_member", "principal", "publisher_rule", "release", "release_blob",
    "release_entry", "release_origin", "replaced_file", "search_row", "skill", "token", "upload",
]  # fmt: skip
