"""Names, digests and versions: parsing, order and printing."""

import random

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st
from spec_strategies import bare_versions, digests, names, versions

from skillpm.errors import DigestMismatchError, SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.names import HALF_LIMIT, SkillName, is_half
from skillpm.spec.versions import LENGTH_LIMIT, Version


@given(names)
def test_names_parse_and_print_are_inverse(name: SkillName) -> None:
    assert SkillName.parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "a", "a/", "/a", "a/b/c", "A/b", "a/B", "a b/c", "a/b ", "a/b\n", " a/b"),
        *("../a", "a/..", ".a/b", "a./b", "a/_b", "a/b-", "a/b..c", "a/b._c", "a/b___c", "a/ü"),
        *("a/\u0430", "a/b\0", "a\\b", "a/１", "a" * 65 + "/b", "a/" + "b" * 65),
    ],
)
def test_malformed_names_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        SkillName.parse(text)
    assert caught.value.hint == "write the name like `acme/math`"


@pytest.mark.parametrize("half", ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a" * HALF_LIMIT])
def test_names_may_contain_the_allowed_separators(half: str) -> None:
    assert is_half(half)
    assert SkillName.parse(f"{half}/{half}").name == half


@given(st.lists(names))
def test_names_are_ordered_by_namespace_then_name(many: list[SkillName]) -> None:
    assert [(n.namespace, n.name) for n in sorted(many)] == sorted(
        (n.namespace, n.name) for n in many
    )


@given(st.binary())
def test_digest_accepts_its_own_data(data: bytes) -> None:
    digest = Digest.of(data)
    digest.check(data, "the blob")
    assert Digest(str(digest)) == digest == Digest.from_bytes(digest.raw)
    assert digest.text == f"sha256:{digest.hex}"
    assert digest.text.startswith(digest.short[:-1])


@given(digests, st.binary())
def test_digest_refuses_other_data_and_names_both_digests(digest: Digest, data: bytes) -> None:
    with pytest.raises(DigestMismatchError) as caught:
        digest.check(data, "the blob")
    assert caught.value.expected == digest.text
    assert caught.value.found == Digest.of(data).text


@pytest.mark.parametrize(
    "text",
    [
        *("", "sha256:", f"sha256:{'a' * 63}", f"sha256:{'A' * 64}", f"sha512:{'a' * 64}"),
        *("a" * 64, f"sha256:{'a' * 64}\n", f"sha256:{'g' * 64}", f" sha256:{'a' * 64}"),
    ],
)
def test_malformed_digests_are_refused(text: str) -> None:
    with pytest.raises(SpecError):
        Digest(text)


@given(versions)
def test_versions_parse_and_print_are_inverse(version: Version) -> None:
    again = Version.parse(str(version))
    assert again == version
    assert str(again) == str(version)
    assert (again.triple, again.pre) == (version.triple, version.pre)


@given(versions, versions)
def test_versions_are_ordered_by_semver(one: Version, other: Version) -> None:
    expected = semver.Version.parse(str(one)).compare(str(other))
    assert (one > other) - (one < other) == expected
    assert (one == other) == (expected == 0)


@given(bare_versions, st.text("0aZ-", min_size=1))
def test_comparisons_ignore_build_metadata(version: Version, build: str) -> None:
    built = Version.parse(f"{version}+{build}")
    assert built == version
    assert hash(built) == hash(version)
    assert str(built) == f"{version}+{build}"


def test_versions_follow_the_example_order_of_semver() -> None:
    ordered = (
        *("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
        *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-0", "1.0.1", "1.9.0", "1.10.0", "2.0.0"),
    )
    shuffled = list(map(Version.parse, ordered))
    random.Random(1).shuffle(shuffled)
    assert tuple(map(str, sorted(shuffled))) == ordered
    assert [v.is_prerelease for v in sorted(shuffled)][-6:] == [False, True] + [False] * 4


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.00.0", "1.0.0-", "1.0.0-01", "1.0.0+"),
        *(
            "1.0.0-a..b",
            "1.0.0\n",
            " 1.0.0",
            "1.0.0 ",
            "1.0.0-ü",
            "１.0.0",
            "1.0.-1",
            "*",
            "^1.0.0",
        ),
        "1." + "9" * LENGTH_LIMIT + ".0",
    ],
)
def test_malformed_versions_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        Version.parse(text)
    assert caught.value.hint
    assert len(caught.value.message) < 300
