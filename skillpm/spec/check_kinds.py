"""The kinds of checks of an answer, as far as documents need them; `skillpm.checks` reads them."""

TRAVELLING = frozenset({"equals", "json_schema", "number", "regex", "rules", "sql"})
"""Kinds that a pack may carry: data, judged in bounded time."""
LOCAL = frozenset({"command", "python", "reward"})
"""Kinds that never travel: they run programs, or a model of the author's machine."""
