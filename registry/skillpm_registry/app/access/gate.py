"""The gate: who sends a request, and whether that principal may do what it asks."""

from base64 import b64decode
from datetime import datetime

from skillpm.spec.names import SkillName
from skillpm.spec.registry_people import Action
from skillpm_registry.app.access.rights import ANYBODY, Caller, TokenGrant
from skillpm_registry.app.access.secrets import digest_of, is_secret
from skillpm_registry.app.problems import ForbiddenError, UnauthorizedError
from skillpm_registry.catalog.actor import Actor
from skillpm_registry.catalog.people.namespaces import Namespaces
from skillpm_registry.catalog.people.tokens import Tokens
from skillpm_registry.catalog.people.values import Standing, TokenRow
from skillpm_registry.refusals import UnknownNamespaceError

_INVALID = "the token is not valid: it is unknown, expired or revoked"
_LOGIN = "`skillpm login`, or set SKILLPM_TOKEN"


class Gate:
    """Decides with the tokens and namespaces of a registry.

    Whether a private namespace exists is not visible to a principal without a role in it: every
    method then raises `UnknownNamespaceError`, as if it did not exist.
    """

    def __init__(self, tokens: Tokens, namespaces: Namespaces) -> None:
        self._tokens = tokens
        self._namespaces = namespaces

    def caller(self, authorization: str | None, now: datetime) -> Caller:
        """Who sends a request with this `Authorization` header. Raises `UnauthorizedError`."""
        if authorization is None:
            return ANYBODY
        text = _token_in(authorization)
        row = self._tokens.valid(digest_of(text), now) if is_secret(text) else None
        if row is None:
            raise UnauthorizedError(_INVALID, hint=_LOGIN)
        return caller_of(row)

    def standing(self, caller: Caller, namespace: str) -> Standing:
        """A namespace that the caller may know of, with its role in it."""
        found = self._namespaces.standing(namespace, caller.principal)
        return _known(found, caller, namespace)

    def need(self, caller: Caller, action: Action, skill: SkillName) -> Standing:
        """Raise unless the caller may act on a skill."""
        standing = self.standing(caller, skill.namespace)
        if action != "read" or standing.private:
            self._need_right(caller, action, skill, standing)
        return standing

    def need_publish(self, caller: Caller, skill: SkillName) -> bool:
        """Raise unless the caller may publish a skill. Returns whether it is new."""
        found, exists = self._namespaces.standing_for(skill, caller.principal)
        standing = _known(found, caller, skill.namespace)
        self._need_right(caller, "publish" if exists else "publish-new", skill, standing)
        return not exists

    def _need_right(
        self, caller: Caller, action: Action, skill: SkillName, standing: Standing
    ) -> None:
        if not caller.may(action, skill, standing.role):
            raise self._refused(caller, action, str(skill), standing)

    def need_in(self, caller: Caller, action: Action, namespace: str) -> Standing:
        """Raise unless the caller may act on a namespace as a whole."""
        standing = self.standing(caller, namespace)
        if action == "read" and not standing.private:
            return standing
        if not caller.may_in(action, namespace, standing.role):
            raise self._refused(caller, action, namespace, standing)
        return standing

    def need_upload(self, caller: Caller, namespace: str) -> Standing:
        """Raise unless the caller may publish some skill of a namespace."""
        standing = self.standing(caller, namespace)
        if not caller.may_upload(namespace, standing.role):
            raise self._refused(caller, "publish", namespace, standing)
        return standing

    def need_rule(self, caller: Caller) -> None:
        """Raise unless the caller administers the registry."""
        need_token(caller)
        if not caller.rules:
            raise ForbiddenError(
                f"`{caller.name}` may not administer this registry with this token",
                hint="use a token of an administrator with the action `admin`",
            )

    def may_read(self, caller: Caller, skill: SkillName, *, private: bool) -> bool:
        """Whether the caller may read a skill."""
        if not private:
            return True
        if caller.grant is None:
            return False
        standing = self._namespaces.standing(skill.namespace, caller.principal)
        return standing is not None and caller.may("read", skill, standing.role)

    def hidden(self, caller: Caller) -> dict[str, Standing]:
        """The private namespaces that the caller's principal may see, by name."""
        if caller.grant is None:
            return {}
        rows = self._namespaces.visible(caller.principal, is_admin=caller.is_admin)
        return {row.namespace: row for row in rows if row.private}

    @staticmethod
    def _refused(caller: Caller, action: str, what: str, standing: Standing) -> Exception:
        if caller.grant is None:
            return UnauthorizedError(f"`{action}` on `{what}` needs a token", hint=_LOGIN)
        if standing.private and standing.role is None and not caller.is_admin:
            return UnknownNamespaceError(standing.namespace)
        role = standing.role or ("administrator" if caller.is_admin else "no role")
        return ForbiddenError(
            f"`{caller.name}` ({role}) may not `{action}` on `{what}` with this token",
            hint="`skillpm whoami` shows the rights of the token",
        )


def _known(found: Standing | None, caller: Caller, namespace: str) -> Standing:
    """A namespace that the caller may know of. Raises `UnknownNamespaceError`."""
    if found is None or not (found.visible or caller.is_admin):
        raise UnknownNamespaceError(namespace)
    return found


def need_token(caller: Caller) -> None:
    """Raise `UnauthorizedError` for an anonymous caller."""
    if caller.grant is None:
        raise UnauthorizedError("this request needs a token", hint=_LOGIN)


def caller_of(row: TokenRow) -> Caller:
    """The caller that a valid token stands for."""
    grant = TokenGrant(row.id, row.actions, row.patterns, row.single_use)
    owner = row.principal
    return Caller(owner.id, owner.name, owner.is_admin, grant, row.claims)


def actor_of(caller: Caller) -> Actor:
    """The caller as the operations of the registry see it."""
    return Actor(caller.principal, is_admin=caller.rules, claims=caller.claims)


def _token_in(authorization: str) -> str:
    """The token in a header: `Bearer TOKEN`, or the password of `Basic`."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except ValueError:
            pass
    raise UnauthorizedError("the header `Authorization` is not `Bearer TOKEN`", hint=_LOGIN)
