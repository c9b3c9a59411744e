"""Finds checks of probes that no answer can pass, before a model runs."""

from typing import cast

from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check
from skillpm.errors import Problems
from skillpm.spec.probe_items import JudgedItem
from skillpm.spec.probes import Probes


def refuse_faulty_checks(probes: Probes, what: str) -> None:
    """Raise `SpecError` for checks that cannot judge, such as a gold query that fails.

    Runs gold queries in the sandbox; without judged items it costs nothing.
    """
    items = [cast("JudgedItem", item) for item in probes.items.get("judged", ())]
    problems = Problems(what)
    with Judge() as judge:
        faults = judge.faults([parse_check(item.check) for item in items])
    for number, (item, fault) in enumerate(zip(items, faults, strict=True), start=1):
        if fault is not None:
            (kind,) = item.check
            problems.add(f"judged item {number}", f"check: {kind}: {fault}")
    problems.raise_if_any()
