"""Hypothesis strategies for names, versions, requirements and JSON."""

import json
from typing import Any

from hypothesis import strategies as st

from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement, VersionRange
from skillpm.spec.versions import Version

halves = st.from_regex(r"\A[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}\Z")
names = st.builds(SkillName, halves, halves)
digests = st.builds(Digest.from_bytes, st.binary(min_size=32, max_size=32))
numbers = st.one_of(st.integers(0, 3), st.integers(0, 10**20))
prereleases = st.lists(
    st.one_of(st.integers(0, 30).map(str), st.from_regex(r"\A[0-9]{0,2}[a-zA-Z-][0-9a-z]{0,2}\Z")),
    max_size=3,
).map(tuple)
builds = st.from_regex(r"\A([0-9a-z-]{1,4}(\.[0-9a-z]{1,3})?)?\Z")
versions = st.builds(Version.of, numbers, numbers, numbers, pre=prereleases, build=builds)
bare_versions = st.builds(Version.of, numbers, numbers, numbers, pre=prereleases)
near = st.builds(
    Version.of,
    *[st.integers(0, 3)] * 3,
    pre=st.sampled_from([(), (), (), ("alpha",), ("rc", "1"), ("rc", "2")]),
)


@st.composite
def comparators(draw: Any) -> str:
    """A comparator of Cargo's grammar with a version from `near`."""
    version = draw(near)
    parts = draw(st.integers(1, 3))
    text = ".".join(map(str, version.triple[:parts]))
    if parts == 3 and version.pre:
        text += f"-{'.'.join(version.pre)}"
    if parts < 3 and draw(st.booleans()):
        return f"{text}.{draw(st.sampled_from('*xX'))}"
    operators = ["", "^", "~", "=", "<", ">", "<=", ">=", "^ ", ">= "]
    return f"{draw(st.sampled_from(operators))}{text}"


range_texts = st.one_of(
    st.just("*"), st.lists(comparators(), min_size=1, max_size=3).map(", ".join)
)
ranges = st.builds(VersionRange.parse, range_texts)
requirements = st.builds(Requirement, names, ranges)
text = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=12,
)
json_objects = st.dictionaries(text, json_values, max_size=4)


@st.composite
def altered(draw: Any, document: Any) -> Any:
    """The document with one value at any depth replaced by another JSON value or removed."""
    copy = json.loads(json.dumps(document))
    node, steps = copy, draw(st.integers(1, 4))
    for step in range(steps):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return copy
        key = draw(st.sampled_from(keys))
        if step + 1 < steps and isinstance(node[key], dict | list):
            node = node[key]
        elif draw(st.booleans()):
            node[key] = draw(json_values)
            return copy
        else:
            del node[key]
            return copy
    return copy
