"""Probes, tuned weights and routes: functions that run the installed skills on the base."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client
from skillpm.api.extras import needs_hf

if TYPE_CHECKING:
    from skillpm.api.results import Comparison, Probed, ProjectRouter, RoutedTexts, TunedWeights
    from skillpm.spec.names import SkillName
    from skillpm.spec.overrides import GraftOverrides


def probe(
    client: Client,
    skills: "Sequence[SkillName]" = (),
    *,
    device: str = "cpu",
    graft: Path | None = None,
) -> "Probed":
    """Run the probes of these skills, or of all, on a graft in memory or on the folder `graft`.

    Imports no model library if none of the skills has probes. Needs the extra `hf` otherwise.
    """
    from skillpm.flows.evaluate.probe_report import nothing_to_probe

    session = client.session
    report = nothing_to_probe(session, skills)
    if report is not None:
        return report
    with needs_hf("`probe` runs the model"):
        from skillpm.flows.evaluate.probe import probe as flow
    return flow(session, skills, device=device, graft=graft)


def tune_weights(
    client: Client, *, budget: int, device: str = "cpu", write: bool = False
) -> "TunedWeights":
    """Search weights with the probes, in at most `budget` trials.

    With `write`, makes them a new generation. Needs the extra `hf`.
    """
    with needs_hf("`--tune` runs the model"):
        from skillpm.flows.evaluate.tune import tune
    return tune(client.session, budget=budget, device=device, write=write)


def compare_methods(
    client: Client,
    only: "Sequence[SkillName]",
    methods: Sequence[str],
    overrides: "GraftOverrides",
    *,
    device: str = "cpu",
) -> "Comparison":
    """Run the probes with each merging method and routed, beside the base and each skill alone.

    `methods` limits the comparison; an empty sequence means all, and routed. Writes no graft. Needs
    the extra `hf`.
    """
    with needs_hf("`--compare` runs the model"):
        from skillpm.flows.evaluate.compare import ComparisonRequest
        from skillpm.flows.evaluate.compare import compare as flow
    request = ComparisonRequest(tuple(only), tuple(methods), overrides, device)
    return flow(client.session, request)


def read_texts(path: Path) -> list[str]:
    """Texts to route: separated by blank lines, or JSON lines of the form `{"text": "…"}`."""
    from skillpm.calibration.texts import read_texts as read

    return read(path)


def route_texts(
    client: Client, texts: Sequence[str], *, device: str = "cpu"
) -> "tuple[ProjectRouter, RoutedTexts]":
    """Decide for each text; return the router too, which explains the decisions.

    Imports no model library if no skill has a router signature. Needs the extra `hf` otherwise.
    """
    from skillpm.flows.evaluate.routed_texts import nothing_to_route

    router = nothing_to_route(client.session)
    if router is None:
        with needs_hf("`route` runs the base"):
            from skillpm.flows.evaluate.route import open_routes
        router = open_routes(client.session, device=device)
    return router, router.route(texts)
