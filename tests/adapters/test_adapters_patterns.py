import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peft.utils.other import get_pattern_key

from skillpm.adapters.patterns import WORK_LIMIT, ModulePatterns, compile_pattern
from skillpm.errors import SpecError

ATOMS = st.sampled_from([
    "q", "q_proj", r"\.", ".", r"\d", r"\w", r"\S", "[a-c]", "[^.]", r"[\d_]", r"\b", "^", "$", "0",
])  # fmt: skip
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        inner.map(lambda one: f"(?i:{one})"),
    ),
    max_leaves=8,
)
NAMES = st.lists(
    st.sampled_from(["q_proj", "Q", "layers", "0", "12", "a", "b-c", "_"]), min_size=1, max_size=4
).map(".".join)


@given(st.lists(PATTERNS, max_size=3, unique=True), NAMES)
def test_first_pattern_is_the_one_that_peft_uses(patterns: list[str], name: str) -> None:
    expected = get_pattern_key(patterns, name)
    assert ModulePatterns(patterns).first(name) == (expected if expected in patterns else None)


@given(st.text(st.sampled_from(list("aq.01*+?{},()[]|^$-\\dwbBsSAZzpQE:PiLx<>!=&~")), max_size=12))
def test_any_pattern_is_refused_or_matches_like_python(pattern: str) -> None:
    try:
        matches = compile_pattern(pattern)
    except SpecError:
        return
    # No empty name: `\B` matches an empty text in RE2 and, from version 3.14, in Python.
    for name in ("q", "a.q", "aq", "a", "0", "a.0", "a1", "x", " ", "{", "a{1}", "A", "-"):
        expected = re.match(rf"(.*\.)?({pattern})$", name)
        assert bool(matches.match(name)) == bool(expected), name


@pytest.mark.parametrize(
    "pattern", [".*" * 12 + "!", "(a+)+!", "(a|a)*!", "(.*a){12}b", "(?:[^.]*[^.]*)*x"]
)
def test_backtracking_pattern_matches_in_linear_time(pattern: str) -> None:
    start = time.process_time()
    assert ModulePatterns([pattern]).first("a" * 1000) is None
    assert time.process_time() - start < 1


@pytest.mark.parametrize("pattern", [
    "(?=a)", "(?<=a)", r"(a)\1", "(?P=a)", r"a\Z", r"\pL", r"[[:alpha:]]", "a{,3}", "a*+",
    "(?x: a)",
    "(((a{1000}){1000}){1000})", "ü", "(", ")", "a)|(b(", "[a--b]", "[a&&b]", "a{2000}", "(?>a)",
])  # fmt: skip
def test_patterns_with_another_meaning_in_re2_are_refused(pattern: str) -> None:
    with pytest.raises(SpecError):
        compile_pattern(pattern)


def test_name_outside_printable_ascii_is_refused_with_patterns() -> None:
    assert ModulePatterns(()).first("naïve\n") is None
    with pytest.raises(SpecError, match="printable ASCII"):
        ModulePatterns(["a"]).first("a\n")


def test_work_of_many_patterns_with_many_modules_is_bounded() -> None:
    names = [f"model.layers.{n}.self_attn.q_proj" for n in range(560)]
    assert ModulePatterns(names).work(names) < WORK_LIMIT
    assert (
        ModulePatterns(names).work([f"{name}{n}" for name in names for n in range(9)]) > WORK_LIMIT
    )
