r"""Match the patterns of an adapter's config as PEFT does, but in linear time.

PEFT matches with Python's `re`, which backtracks: a pattern of 25 characters can take hours. RE2
takes time linear in the name (Cox 2010), but its syntax differs. So only patterns that mean the
same in both are accepted, and only names of printable ASCII, for which `\d`, `\w`, `$` and `.` mean
the same. Then both engines agree on whether a name matches.
"""

import re
from collections.abc import Iterable
from typing import Any

import re2

from skillpm.errors import SpecError

PATTERN_LIMIT = 500
COUNT_LIMIT = 2048
WORK_LIMIT = 2_000_000_000
"""The limit of instructions of all RE2 programs times characters of all names: some seconds."""
_MEMORY = 1 << 16
_SHOWN = 60

_ESCAPED = r"\\[\\.^$*+?()\[\]{}|/\-_:]"
_IN_CLASS = rf"(?:[A-Za-z0-9_./: ,+*?()$]|-(?!-)|{_ESCAPED}|\\[dwsDWS])"
_QUANTIFIER = r"(?:[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??(?!\+)"
_COMMON = re.compile(
    r"(?:[A-Za-z0-9_/: ,=!@#%;'\"<>~&-]"  # a literal character
    rf"|{_ESCAPED}|\\[dwsbDWSB]|[.^$|)]"
    r"|\((?:\?:|\?i:|\?P<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))"
    rf"|\[\^?{_IN_CLASS}+\]"
    rf"|{_QUANTIFIER})*+",
    re.ASCII,
)
"""Patterns that mean the same in Python and RE2. Possessive, so that matching is linear too."""


class ModulePatterns:
    """Patterns in the order of the config. The first that matches the end of a name applies."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._compiled = {pattern: compile_pattern(pattern) for pattern in patterns}
        self._first: dict[str, str | None] = {}

    def first(self, module: str) -> str | None:
        """The first pattern that matches, as PEFT's `get_pattern_key`; None if none does.

        Raises `SpecError` for a name that is not printable ASCII, where the two engines differ.
        """
        if not self._compiled:
            return None
        if module not in self._first:
            if not (module.isascii() and module.isprintable()):
                raise SpecError(
                    f"the module {module[:_SHOWN]!r} cannot be matched with the adapter's "
                    "patterns, because its name is not printable ASCII"
                )
            matches = (p for p, compiled in self._compiled.items() if compiled.match(module))
            self._first[module] = next(matches, None)
        return self._first[module]

    def work(self, modules: Iterable[str]) -> int:
        """An upper bound of the instructions that RE2 runs to match all of these names."""
        programs = sum(int(compiled.programsize) for compiled in self._compiled.values())
        return programs * sum(len(module) + 1 for module in modules)


def compile_pattern(pattern: str) -> Any:
    r"""Compile the expression that PEFT makes of a pattern, `(.*\.)?(PATTERN)$`, with RE2.

    Raises `SpecError` if Python cannot compile it, or RE2 cannot match it as Python does.
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
            f"{pattern[:_SHOWN]!r} takes too much memory to match, or RE2 does not support it"
        ) from problem
