"""The tables of principals, namespaces, tokens and trusted publishers. All exist since 0003."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    false,
    text,
)

from skillpm_registry.tables.columns import (
    PLAIN_JSON,
    ROW_ID,
    UtcTime,
    is_count,
    is_digest,
    is_half,
    is_one_of,
    metadata,
)

ROLES = ("owner", "maintainer", "publisher", "reader")

# A user, or a workflow that publishes by OIDC.
principal = Table(
    "principal",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column(
        "name",
        Text,
        CheckConstraint("length(name) BETWEEN 1 AND 256", name="name_form"),
        nullable=False,
        unique=True,
    ),
    Column("kind", Text, is_one_of("kind", "user", "publisher"), nullable=False),
    Column(
        "is_admin",
        Boolean(create_constraint=True, name="is_admin_form"),
        nullable=False,
        server_default=false(),
    ),
    Column("created_at", UtcTime, nullable=False),
    # The largest number of bytes of its open uploads; NULL for no limit of its own.
    Column("quota_bytes", BigInteger, is_count("quota_bytes")),
    # A disabled principal keeps its name, and its tokens are refused.
    Column("disabled_at", UtcTime),
    info={"since": "0003"},
)

# Namespaces are never deleted, so a name is never granted to somebody else.
namespace = Table(
    "namespace",
    metadata,
    Column("name", Text, is_half("name"), primary_key=True),
    Column(
        "private",
        Boolean(create_constraint=True, name="private_form"),
        nullable=False,
        server_default=false(),
    ),
    # The registry that this namespace is mirrored from. A mirror accepts no publishes into it.
    Column("mirror_of", Text),
    # The largest number of bytes of blobs and open uploads; NULL for no limit of its own.
    Column("quota_bytes", BigInteger, is_count("quota_bytes")),
    Column("created_at", UtcTime, nullable=False),
    info={"since": "0003"},
)

namespace_member = Table(
    "namespace_member",
    metadata,
    Column("namespace", ForeignKey("namespace.name"), primary_key=True),
    Column("principal_id", ForeignKey("principal.id"), primary_key=True),
    Column("role", Text, is_one_of("role", *ROLES), nullable=False),
    Column("granted_at", UtcTime, nullable=False),
    Column("granted_by", ForeignKey("principal.id")),
    Index(None, "principal_id"),
    info={"since": "0003"},
)

token = Table(
    "token",
    metadata,
    # The public part of the token, which lists and logs show.
    Column("id", Text, primary_key=True),
    # The digest of the secret. The secret itself is shown once and not stored.
    Column("hash", Text, is_digest("hash"), nullable=False, unique=True),
    Column("principal_id", ForeignKey("principal.id"), nullable=False),
    Column("note", Text, nullable=False, server_default=text("''")),
    # Lists of text: actions (`read`, `publish`, …) and patterns of skill names.
    Column("actions", PLAIN_JSON, nullable=False),
    Column("patterns", PLAIN_JSON, nullable=False),
    Column(
        "single_use",
        Boolean(create_constraint=True, name="single_use_form"),
        nullable=False,
        server_default=false(),
    ),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    Column("revoked_at", UtcTime),
    # The claims of the OIDC token that was exchanged for this token.
    Column("claims", PLAIN_JSON),
    Index(None, "principal_id"),
    Index(None, "expires_at"),
    info={"since": "0003"},
)

# Which OIDC identities may publish.
publisher_rule = Table(
    "publisher_rule",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("namespace", ForeignKey("namespace.name"), nullable=False),
    # A pattern of names in the namespace.
    Column("pattern", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    # Claims and the values that they must have, such as `repository_id` and `workflow`.
    Column("claims", PLAIN_JSON, nullable=False),
    Column("principal_id", ForeignKey("principal.id"), nullable=False),
    # Whether it may publish skills that do not exist yet.
    Column(
        "publishes_new",
        Boolean(create_constraint=True, name="publishes_new_form"),
        nullable=False,
        server_default=false(),
    ),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", ForeignKey("principal.id")),
    Column("removed_at", UtcTime),
    Index(None, "issuer"),
    Index(None, "namespace"),
    info={"since": "0003"},
)

# The OIDC tokens that were exchanged already. Rows may be deleted after `expires_at`.
jti_seen = Table(
    "jti_seen",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("expires_at", UtcTime, nullable=False),
    Index(None, "expires_at"),
    info={"since": "0003"},
)
