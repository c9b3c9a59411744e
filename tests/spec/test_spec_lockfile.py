"""The lockfile has a canonical form, and errors list every problem."""

import random
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import LOCK, A, B
from spec_strategies import altered, bare_versions, digests, halves, names, requirements, text

from skillpm.errors import SpecError
from skillpm.spec import toml
from skillpm.spec.digests import Digest
from skillpm.spec.fields import read_document
from skillpm.spec.lockfile import LockedBase, LockedGraft, LockedSkill, Lockfile, parse_lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import GraftTable

settings = st.dictionaries(
    text,
    st.one_of(st.booleans(), st.integers(-(2**60), 2**60), text, st.floats(-1e9, 1e9)),
    max_size=3,
)
skills = st.builds(
    LockedSkill,
    skill=names,
    version=bare_versions,
    digest=digests,
    size=st.integers(0, 2**62),
    registry=halves,
    weight=st.floats(-1e6, 1e6),
    requires=st.lists(requirements, max_size=3),
    accept_footprint=st.booleans(),
)
locks = st.builds(
    Lockfile,
    base=st.builds(LockedBase, name=text, root=digests),
    graft=st.builds(
        LockedGraft,
        settings=settings,
        precedence=st.lists(names, max_size=3, unique=True),
        root=st.none() | digests,
    ),
    skill=st.lists(skills, max_size=4, unique_by=lambda locked: locked.skill),
)


@given(locks)
def test_dumps_and_parse_are_inverse(lock: Lockfile) -> None:
    again = parse_lockfile(lock.dumps())
    assert again.dumps() == lock.dumps()
    assert again.skills == lock.skills
    assert (again.base, again.graft) == (lock.base, lock.graft)


@given(locks, st.randoms(use_true_random=False))
def test_dumps_is_independent_of_the_order_of_skills(lock: Lockfile, order: random.Random) -> None:
    shuffled = list(lock.skill)
    order.shuffle(shuffled)
    other = lock.model_copy(update={"skill": shuffled})
    assert other.dumps() == lock.dumps()
    assert list(other.skills) == sorted(other.skills)


@given(locks, digests)
def test_same_set_ignores_the_root_of_the_graft(lock: Lockfile, root: Digest) -> None:
    assert lock.with_root(root).same_set(lock)
    assert lock.with_root(root).graft.root == root
    assert lock.with_root(None).graft.root is None
    renamed = lock.model_copy(update={"base": LockedBase(name=f"{lock.base.name}x", root=root)})
    assert not renamed.same_set(lock)


def test_same_set_treats_the_old_mode_name_as_the_new_one() -> None:
    old = parse_lockfile(LOCK)
    new = parse_lockfile(LOCK.replace('mode = "merge"', 'mode = "merged"'))
    assert old.same_set(new)
    assert not new.same_set(parse_lockfile(LOCK.replace('"merge"', '"routed"')))
    assert 'mode = "merged"' in old.dumps()


def test_lock_keeps_an_unknown_method_that_cannot_be_grafted() -> None:
    lock = parse_lockfile(LOCK.replace('"sum"', '"slerp"').replace('"merge"', '"blend"'))
    assert (lock.graft.mode, lock.graft.method) == ("blend", "slerp")
    with pytest.raises(SpecError, match="unknown method 'slerp'"):
        _ = lock.graft.merging
    with pytest.raises(SpecError, match="unknown mode 'blend'"):
        _ = lock.graft.routed
    with pytest.raises(SpecError, match="`sum` has no setting 'dtype'"):
        _ = parse_lockfile(LOCK).graft.table


def test_lock_has_all_settings_and_its_table_only_the_changed_ones() -> None:
    asked = GraftTable(method="ties", settings={"density": 0.4})
    locked = LockedGraft.of(asked)
    assert locked.merge_options == {
        "mode": "merged",
        "method": "ties",
        "settings": {"density": 0.4, "scale": 1.0},
    }
    assert locked.table == asked


def test_lock_is_read_and_written_in_the_specified_format() -> None:
    lock = parse_lockfile(LOCK)
    assert [locked.ref for locked in lock.skills.values()] == [
        "acme/b 1.0.0-rc.1",
        "acme/math 1.2.0",
    ]
    assert lock.graft.settings == {"dtype": "keep"}
    plain = tomllib.loads(lock.dumps())
    assert plain["skill"][0] == {
        "skill": "acme/b",
        "version": "1.0.0-rc.1",
        "digest": str(lock.skill[1].digest),
        "size": 0,
        "registry": "default",
        "weight": 1.0,
        "requires": [],
        "accept_footprint": True,
    }
    assert "accept_footprint" not in plain["skill"][1]
    assert lock.dumps().startswith("# Written by skillpm")


def test_unknown_keys_are_kept() -> None:
    lock = parse_lockfile(LOCK + '\n[skill.future]\n"odd key" = ["x", 1.5]\n')
    again = tomllib.loads(lock.dumps())
    assert again["skill"][0]["future"] == {"odd key": ["x", 1.5]}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version = 1\n", "version = 2\n", "version: expected 1, found the number 2"),
        ("version = 1\n", "version = true\n", "version: expected a whole number, found true"),
        (f'root = "{A}"', 'root = "sha256:x"', "base.root: 'sha256:x' is not a digest"),
        ("size = 1234", "size = -1", "skill[0].size: "),
        ("weight = 0.5", "weight = nan", "skill[0].weight: "),
        ("acme/b ^1", "acme/b ^^", "skill[0].requires[0]: '^^' is not a version requirement"),
        ('skill = "acme/b"', 'skill = "acme/math"', "skill[1].skill: duplicate skill `acme/math`"),
    ],
)
def test_problem_is_reported_with_its_path(old: str, new: str, problem: str) -> None:
    assert old in LOCK
    with pytest.raises(SpecError) as caught:
        parse_lockfile(LOCK.replace(old, new, 1))
    first, line = caught.value.message.splitlines()
    assert first == "skillpm.lock has 1 problem:"
    assert line.strip().startswith(problem)


def test_merge_conflict_markers_are_refused_with_the_line() -> None:
    with pytest.raises(SpecError, match=r"skillpm\.lock:3 has a merge-conflict marker"):
        parse_lockfile(LOCK.replace("[base]", "<<<<<<< HEAD\n[base]", 1))


@given(altered(tomllib.loads(LOCK)))
def test_any_altered_lock_is_read_or_refused(plain: Any) -> None:
    try:
        lock = read_document(Lockfile, plain, "the lock")
    except SpecError as problem:
        assert problem.message.startswith("the lock has ")  # noqa: PT017 - some are read
    else:
        assert lock.skills is not None


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**62), 2**62) | text | st.floats(allow_nan=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=8,
    )
)
def test_toml_value_round_trips(value: Any) -> None:
    assert toml.parse(f"x = {toml.value(value)}", "it") == {"x": value}


@given(text, text)
def test_toml_key_and_string_round_trip(key: str, value: str) -> None:
    assert toml.parse(f"{toml.key(key)} = {toml.string(value)}", "it") == {key: value}


def test_toml_document_that_is_too_long_or_deep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="it is nested deeper than 64 levels"):
        toml.parse(f"x = {'[' * 100_000}", "it")
    monkeypatch.setattr(toml, "SIZE_LIMIT", 10)
    with pytest.raises(SpecError, match="it is longer than 10 characters"):
        toml.parse("x = 1234567", "it")


def test_root_of_a_lock_is_a_digest() -> None:
    assert parse_lockfile(LOCK).graft.root == Digest(B)


def test_empty_order_of_precedence_is_not_written() -> None:
    order = [SkillName.parse("acme/sql"), SkillName.parse("acme/math")]
    asked = GraftTable(precedence=order)
    lock = Lockfile(base=LockedBase(name="m", root=Digest.of(b"")), graft=LockedGraft.of(asked))
    assert 'precedence = ["acme/sql", "acme/math"]' in lock.dumps()
    assert parse_lockfile(lock.dumps()).graft.table == asked
    plain = lock.model_copy(update={"graft": lock.graft.with_precedence(())})
    assert "precedence" not in plain.dumps()
    assert not plain.same_set(lock)
    assert plain.graft.merge_options == lock.graft.merge_options
