"""A saved index: strict reader, canonical writer, and use as a catalogue."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import A, index_plain
from spec_strategies import altered, bare_versions, digests, names, requirements

from skillpm.errors import SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.savedindex import dump_index, parse_index

releases = st.lists(
    st.builds(
        Release,
        skill=names,
        version=bare_versions,
        base=st.none() | digests,
        requires=st.lists(requirements, max_size=2).map(tuple),
        conflicts=st.lists(requirements, max_size=2).map(tuple),
        yanked=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda release: (release.skill, release.version),
)


def problems(plain: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_index(json.dumps(plain).encode())
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


@given(releases)
def test_dump_and_parse_are_inverse(many: list[Release]) -> None:
    index = parse_index(dump_index(many))
    found = index.releases({release.skill for release in many})
    assert [r for listed in found.values() for r in sorted(listed, key=lambda r: r.version)] == [
        release
        for skill in found
        for release in sorted((r for r in many if r.skill == skill), key=lambda r: r.version)
    ]
    assert dump_index(r for listed in found.values() for r in listed) == dump_index(many)


def test_index_is_read_in_the_specified_format() -> None:
    math, numbers, absent = map(SkillName.parse, ("acme/math", "acme/numbers", "acme/absent"))
    found = parse_index(json.dumps(index_plain()).encode()).releases([absent, math, numbers])
    assert [release.ref for release in found[math]] == ["acme/math 1.0.0", "acme/math 1.1.0-rc.1"]
    first, second = found[math]
    assert (str(first.requires[0]), str(first.conflicts[0])) == ("acme/numbers ^1", "acme/b")
    assert (first.yanked, first.base) == (True, Digest(A))
    assert (second.yanked, second.base, second.requires) == (False, None, ())
    assert found[absent] == ()


def test_default_values_are_not_written() -> None:
    release = parse_index(json.dumps(index_plain()).encode()).by_skill[
        SkillName.parse("acme/numbers")
    ]
    assert dump_index(release) == b'{"skills":{"acme/numbers":{"1.0.0":{}}}}'


def test_all_problems_are_reported_at_once_with_their_paths() -> None:
    plain = index_plain()
    plain["skills"]["acme/math"]["1.0.0"] = {"requires": ["x"], "yanked": 1, "base": "sha256:1"}
    plain["skills"]["acme/math"]["one"] = {}
    plain["skills"]["Math"] = {"1.0.0": []}
    assert [line.split(": ")[0] for line in problems(plain)] == [
        *("skills.acme/math.1.0.0.requires[0]", "skills.acme/math.1.0.0.yanked"),
        *("skills.acme/math.1.0.0.base", "skills.acme/math.one", "skills.Math"),
        "skills.Math.1.0.0",
    ]


def test_versions_that_differ_only_in_build_metadata_are_duplicates() -> None:
    assert problems({"skills": {"acme/a": {"1.0.0": {}, "1.0.0+x": {}}}}) == [
        "skills.acme/a.1.0.0+x: duplicate version (build metadata is ignored)"
    ]


def test_duplicate_release_is_not_written() -> None:
    release = parse_index(json.dumps(index_plain()).encode()).by_skill[
        SkillName.parse("acme/numbers")
    ]
    with pytest.raises(SpecError, match=r"duplicate release `acme/numbers 1\.0\.0`"):
        dump_index([*release, *release])


@pytest.mark.parametrize("plain", [{}, {"skills": []}, {"skills": {"acme/a": {"1.0.0": None}}}])
def test_document_of_another_shape_is_refused(plain: Any) -> None:
    assert len(problems(plain)) == 1


@given(altered(index_plain()))
def test_any_altered_index_is_read_or_refused(plain: Any) -> None:
    try:
        index = parse_index(json.dumps(plain).encode())
    except SpecError as problem:
        assert problem.message.startswith("the saved index")  # noqa: PT017 - some are read
    else:
        assert parse_index(dump_index(r for rs in index.by_skill.values() for r in rs))
