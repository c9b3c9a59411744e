"""What the example says at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from examples.continual.journey import GONE, name

if TYPE_CHECKING:
    from examples.continual.journey import Year


def summary(year: Year, *, seconds: float) -> Table:
    """One row a skill, its probe as recorded and asked again; then every promise."""
    table = Table(title=f"ten skills in a row, then nine without {name(GONE)}")
    table.add_column("skill")
    for heading in ("base loss", "tuned loss", "probe among ten", "probe among nine"):
        table.add_column(heading, justify="right")
    for kind, learnt in year.learnt.items():
        among = [year.probed[when].get(name(kind)) for when in ("ten", "nine")]
        shown = ["gone" if value is None else f"{value:.4f}" for value in among]
        table.add_row(name(kind), f"{learnt.base_loss:.3f}", f"{learnt.tuned_loss:.3f}", *shown)
    for check in year.checks:
        table.add_row(f"{check.what}: {'yes' if check.holds else 'NO'}", "", "", "", "")
    table.caption = f"losses in nats a byte of held-out text; the whole run took {seconds:.0f} s"
    return table
