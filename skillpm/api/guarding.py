"""The guard of a change, a function that flows call. Models are imported only when it runs."""

from typing import TYPE_CHECKING, Any

from skillpm.api.extras import needs_hf

if TYPE_CHECKING:
    from skillpm.flows.change.plan import Guard


def probe_guard(*, enabled: bool, device: str = "cpu") -> "Guard | None":
    """The guard that runs the probes of all planned skills on `device`; None if not `enabled`."""
    if not enabled:
        return None

    def guard(*plan: Any) -> tuple[str, ...]:
        with needs_hf("`--guard` runs the model"):
            from skillpm.flows.guard.guard import guard as check
        return check(*plan, device=device)

    return guard
