"""Compiles regular expressions with RE2, which matches in time linear in the text."""

from functools import lru_cache
from typing import Any

import re2

from skillpm.errors import SpecError

PATTERN_LIMIT = 1000
"""Characters of a pattern."""
_MEMORY = 1 << 22
"""Bytes of the compiled program; a larger one, such as `(x{1000}){1000}`, is refused."""
_SHOWN = 60


@lru_cache(1024)
def compile_linear(pattern: str) -> Any:
    """Compile a pattern in the syntax of RE2.

    Raises `SpecError` if RE2 does not accept it: look-around, backreferences and possessive
    quantifiers are not part of its syntax, because they have no linear matching.
    """
    if len(pattern) > PATTERN_LIMIT:
        raise SpecError(f"the pattern has {len(pattern)} characters; the limit is {PATTERN_LIMIT}")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except re2.error as problem:
        reason = problem.args[0] if problem.args else "invalid"
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise SpecError(
            f"the pattern {pattern[:_SHOWN]!r} cannot be matched in linear time: {reason[:200]}; "
            "look-around, backreferences and possessive quantifiers are not supported"
        ) from problem
    except UnicodeEncodeError as problem:
        raise SpecError(f"the pattern {pattern[:_SHOWN]!r} is not valid Unicode") from problem
