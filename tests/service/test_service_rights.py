"""Every role × token × action, as a table."""

import pytest

from skillpm.spec.names import SkillName
from skillpm.spec.registry_people import ACTIONS, ROLES, Action, Role
from skillpm_registry.app.access.rights import (
    ANYBODY,
    LOCAL_CALLER,
    Caller,
    TokenGrant,
    covers,
    matches,
)

SKILL = SkillName("acme", "math")
TABLE: dict[Role | None, str] = {
    #            read publish publish-new yank admin
    None:        ". . . . .",
    "reader":    "x . . . .",
    "publisher": "x x . . .",
    "maintainer": "x x x x .",
    "owner":     "x x x x x",
}  # fmt: skip


def _granted(role: Role | None, action: Action) -> bool:
    return TABLE[role].split()[ACTIONS.index(action)] == "x"


def _caller(*actions: Action, pattern: str = "acme/*", is_admin: bool = False) -> Caller:
    grant = TokenGrant("t", frozenset(actions), (pattern,))
    return Caller(1, "alice", is_admin, grant)


@pytest.mark.parametrize("role", [None, *ROLES])
@pytest.mark.parametrize("held", ACTIONS)
@pytest.mark.parametrize("asked", ACTIONS)
def test_an_action_needs_the_role_and_the_token(
    role: Role | None, held: Action, asked: Action
) -> None:
    expected = _granted(role, asked) and held in (asked, "admin")
    assert _caller(held).may(asked, SKILL, role) is expected
    assert _caller(held).may_in(asked, "acme", role) is expected
    assert not _caller(held, pattern="other/*").may(asked, SKILL, role)
    assert not ANYBODY.may(asked, SKILL, role)


@pytest.mark.parametrize("held", ACTIONS)
@pytest.mark.parametrize("asked", ACTIONS)
def test_an_administrator_is_limited_by_the_token_only(held: Action, asked: Action) -> None:
    caller = _caller(held, is_admin=True)
    assert caller.may(asked, SKILL, None) is (held in (asked, "admin"))
    assert not caller.may(asked, SkillName("other", "x"), None)
    assert not caller.rules, "a token for one namespace does not administer the registry"


def test_only_a_whole_token_of_an_administrator_administers_the_registry() -> None:
    assert _caller("admin", pattern="*", is_admin=True).rules
    assert not _caller("admin", pattern="*").rules
    assert not _caller("publish", pattern="*", is_admin=True).rules
    assert LOCAL_CALLER.rules
    assert not ANYBODY.rules


def test_a_token_for_one_skill_does_not_act_on_its_namespace() -> None:
    caller = _caller("admin", pattern="acme/math")
    assert caller.may("admin", SKILL, "owner")
    assert not caller.may_in("admin", "acme", "owner")


@pytest.mark.parametrize(
    ("pattern", "namespace", "allowed"),
    [("acme/math", "acme", True), ("acme/*", "acme", True), ("*", "acme", True),
     ("*/math", "acme", True), ("ac*/math", "acme", True), ("acme/*", "acm", False),
     ("acm/*", "acme", False)],
)  # fmt: skip
def test_uploads_need_a_pattern_in_the_namespace(
    pattern: str,
    namespace: str,
    allowed: bool,  # noqa: FBT001
) -> None:
    assert _caller("publish", pattern=pattern).may_upload(namespace, "publisher") is allowed
    assert not _caller("read", pattern=pattern).may_upload(namespace, "owner")
    assert not _caller("publish-new", pattern=pattern).may_upload(namespace, "publisher")


@pytest.mark.parametrize(
    ("pattern", "skill", "matching"),
    [("*", "acme/math", True), ("acme/*", "acme/math", True), ("acme/math", "acme/math", True),
     ("acme/math", "acme/math2", False), ("acme/math-*", "acme/math-en", True),
     ("acme/math-*", "acme/math", False), ("acme/*", "acme2/math", False),
     ("*/math", "acme/math", True), ("acme/m.th", "acme/math", False)],
)  # fmt: skip
def test_patterns_match_whole_names(pattern: str, skill: str, matching: bool) -> None:  # noqa: FBT001
    assert matches(pattern, SkillName.parse(skill)) is matching


@pytest.mark.parametrize(
    ("granted", "wanted", "covered"),
    [("*", "acme/*", True), ("*", "*", True), ("acme/*", "acme/math", True),
     ("acme/*", "acme/*", True), ("acme/*", "*", False), ("acme/*", "acme2/*", False),
     ("acme/math", "acme/*", False), ("acme/math-*", "acme/math-en", True),
     ("acme/math-*", "acme/math-en-*", True), ("acme/math-*", "acme/*", False),
     ("*/math", "acme/math", True), ("ac*/x", "acme/x", True), ("acme/x", "ac*/x", False)],
)  # fmt: skip
def test_a_new_token_gets_no_pattern_beyond_its_creators(
    granted: str,
    wanted: str,
    covered: bool,  # noqa: FBT001
) -> None:
    assert covers([granted], wanted) is covered
