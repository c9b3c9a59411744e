"""Settings of one graft: what they change, and the commands that keep them."""

from typing import Any

import pytest

from skillpm.errors import UsageError
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedGraft, LockedSkill, Lockfile
from skillpm.spec.merging import METHODS
from skillpm.spec.names import SkillName
from skillpm.spec.overrides import GraftOverrides, keeping_commands
from skillpm.spec.project import GraftTable

ROOT = Digest.of(b"base")
MATH = SkillName.parse("acme/math")


def lock_of(**graft: Any) -> Lockfile:
    skill = LockedSkill.model_validate({
        "skill": "acme/math", "version": "1.0.0", "digest": str(ROOT), "size": 1,
        "registry": "default",
    })  # fmt: skip
    table = LockedGraft.of(GraftTable.model_validate(graft))
    lock = Lockfile(base=LockedBase(name="b", root=ROOT), graft=table, skill=[skill])
    return lock.with_root(ROOT)


def test_settings_equal_to_the_lock_leave_it_with_its_root() -> None:
    lock = lock_of(method="ties", settings={"density": 0.3})
    for same in (
        GraftOverrides(),
        GraftOverrides("merged", "ties", {"density": 0.3}),
        GraftOverrides(settings={"scale": 1.0}, weights=1.0),
    ):
        assert same.apply(lock) is lock


def test_another_setting_drops_the_root_and_keeps_the_other_settings() -> None:
    lock = lock_of(method="ties", settings={"density": 0.3})
    tried = GraftOverrides(settings={"scale": 2.0}, weights={"acme/math": 0.5}).apply(lock)
    assert tried.graft.settings == {"density": 0.3, "scale": 2.0}
    assert (tried.graft.root, tried.skills[MATH].weight) == (None, 0.5)


def test_another_method_starts_from_its_own_defaults() -> None:
    lock = lock_of(method="ties", settings={"density": 0.3})
    tried = GraftOverrides(method="dare").apply(lock)
    assert tried.graft.settings["density"] == METHODS["dare"]["density"].default


@pytest.mark.parametrize(
    ("overrides", "said", "hint"),
    [
        (GraftOverrides(settings={"density": 0.3}), "`sum` has no setting", "--method ties"),
        (GraftOverrides(settings={"seed": 3}), "`sum` has no setting", "--method dare"),
        (GraftOverrides(method="ties", settings={"density": 2.0}), "invalid `density`", "None"),
        (GraftOverrides(method="tise"), "unknown method", "None"),
        (GraftOverrides(mode="mixed"), "unknown mode", "None"),
        (GraftOverrides(weights={"acme/sql": 1.0}), "`acme/sql` has a weight", "leave out"),
    ],
)
def test_invalid_settings_are_usage_errors(overrides: GraftOverrides, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        overrides.apply(lock_of())
    assert hint in str(caught.value.hint)


def test_keeping_commands_name_only_what_differs() -> None:
    lock = lock_of(mode="routed")
    tried = GraftOverrides("merged", "ties", {"density": 0.3}, 0.5).apply(lock)
    assert keeping_commands(lock, tried) == (
        "skillpm config set graft.mode merged graft.method ties graft.density 0.3",
        "skillpm install acme/math --weight acme/math=0.5",
    )
    dare = GraftOverrides(method="dare").apply(lock)
    assert keeping_commands(lock, dare)[-1] == "skillpm install"
    assert keeping_commands(lock, lock) == ()
