"""Reads the checks of probe items, which `spec.probes` carries as plain values."""

from collections.abc import Iterator

from skillpm.checks.kinds import collect_check
from skillpm.errors import Problems
from skillpm.spec.fields import Document
from skillpm.spec.probe_items import JudgedItem


def check_problems(item: Document) -> Iterator[str]:
    """The problems of the check of a probe item; none if it has no check."""
    if isinstance(item, JudgedItem):
        problems = Problems("")
        collect_check(item.check, problems)
        yield from (f"check: {problem}" for problem in problems.found)
