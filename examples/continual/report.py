"""The summary that the example prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from examples.continual.journey import GONE, name

if TYPE_CHECKING:
    from examples.continual.journey import Year


def summary(year: Year, *, seconds: float) -> Table:
    """One row per skill, with its probe measured again at the end; then every check."""
    table = Table(title=f"{len(year.learnt)} skills in a row, then without {name(GONE)}")
    table.add_column("skill")
    for heading in ("base loss", "tuned loss", "probe, routed"):
        table.add_column(heading, justify="right")
    for kind, learnt in year.learnt.items():
        now = year.probed.get(name(kind))
        shown = "gone" if now is None else f"{now:.3f}"
        table.add_row(name(kind), f"{learnt.base_loss:.3f}", f"{learnt.tuned_loss:.3f}", shown)
    for check in year.checks:
        table.add_row(f"{check.what}: {'yes' if check.holds else 'NO'}", "", "", "")
    table.caption = f"losses in nats a byte of held-out text; the whole run took {seconds:.0f} s"
    return table
