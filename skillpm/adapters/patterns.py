r"""The patterns of an adapter's config, matched as PEFT matches them, in linear time.

PEFT searches with Python's `re`, which backtracks: 25 characters can take hours. RE2 matches in
time linear in the name (Cox 2010), but reads another dialect. So only what both read alike is
taken, and names are printable ASCII, where `\d`, `\w`, `$` and `.` mean the same to both. Whether
a name matches is then a question about the pattern's language, which has one answer.
"""

import re
from collections.abc import Iterable
from typing import Any

import re2

from skillpm.errors import SpecError

PATTERN_LIMIT = 500
COUNT_LIMIT = 2048
WORK_LIMIT = 2_000_000_000
"""Instructions of all programs times characters of all names: some seconds."""
_MEMORY = 1 << 16
_SHOWN = 60

_ESCAPED = r"\\[\\.^$*+?()\[\]{}|/\-_:]"
_IN_CLASS = rf"(?:[A-Za-z0-9_./: ,+*?()$]|-(?!-)|{_ESCAPED}|\\[dwsDWS])"
_QUANTIFIER = r"(?:[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??(?!\+)"
_COMMON = re.compile(
    r"(?:[A-Za-z0-9_/: ,=!@#%;'\"<>~&-]"  # a character that stands for itself
    rf"|{_ESCAPED}|\\[dwsbDWSB]|[.^$|)]"
    r"|\((?:\?:|\?i:|\?P<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))"
    rf"|\[\^?{_IN_CLASS}+\]"
    rf"|{_QUANTIFIER})*+",
    re.ASCII,
)
"""What Python and RE2 read alike; possessive, so that this expression is linear itself."""


class ModulePatterns:
    """Patterns in the order of the config: the first that matches the end of a name counts."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._compiled = {pattern: compile_pattern(pattern) for pattern in patterns}
        self._first: dict[str, str | None] = {}

    def first(self, module: str) -> str | None:
        """The first pattern that matches, as PEFT's `get_pattern_key`; None where none does.

        Raises `SpecError` for a name outside printable ASCII: the two dialects part there.
        """
        if not self._compiled:
            return None
        if module not in self._first:
            if not (module.isascii() and module.isprintable()):
                raise SpecError(
                    f"the module {module[:_SHOWN]!r} cannot be matched with the adapter's "
                    "patterns: its name is not printable ASCII"
                )
            matches = (p for p, compiled in self._compiled.items() if compiled.match(module))
            self._first[module] = next(matches, None)
        return self._first[module]

    def work(self, modules: Iterable[str]) -> int:
        """The most instructions that RE2 may run to match all of these names."""
        programs = sum(int(compiled.programsize) for compiled in self._compiled.values())
        return programs * sum(len(module) + 1 for module in modules)


def compile_pattern(pattern: str) -> Any:
    r"""The expression that PEFT makes of a pattern, `(.*\.)?(PATTERN)$`, compiled by RE2.

    Raises `SpecError` where Python cannot read it either, or RE2 cannot match it as Python does.
    """
    whole = rf"(.*\.)?({pattern})$"
    if len(pattern) > PATTERN_LIMIT or _COMMON.fullmatch(whole) is None:
        raise SpecError(
            f"{pattern[:_SHOWN]!r} cannot be matched in linear time; expected at most "
            f"{PATTERN_LIMIT} characters of plain regular expression, without lookaround, "
            "backreferences or possessive quantifiers"
        )
    try:
        re.compile(whole)
    except (re.error, OverflowError, RecursionError) as problem:
        raise SpecError(f"{pattern[:_SHOWN]!r} is not a regular expression: {problem}") from problem
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(whole, options)
    except re2.error as problem:
        raise SpecError(
            f"{pattern[:_SHOWN]!r} takes too much memory to match, or is no expression of RE2"
        ) from problem
