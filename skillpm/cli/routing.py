"""`route`: choose the installed skill for a text."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import (
    FitDocument,
    NearDocument,
    RouteDocument,
    RouteExplanation,
    RouteTimes,
    RouteWarnings,
)
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.probing import DEVICE
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.spec.nearness import near_warning

if TYPE_CHECKING:
    from skillpm.api.results import ProjectRouter, RoutedTexts
    from skillpm.routing.router import Decision, SkillFit
    from skillpm.spec.nearness import NearPair

_FILE = LocalPath(exists=True, dir_okay=False)
_SHOWN = 60
"""Characters of a text that are shown beside its skill."""


@click.command(cls=Command)
@click.argument("text", required=False, help="Text to route; `-` for stdin.")
@click.option("--file", "file", type=_FILE, metavar="FILE", help="Route each text of this file.")
@click.option("--explain", is_flag=True, help="Show the scores of all skills and the reason.")
@DEVICE
@click.pass_obj
def route(
    state: State, /, *, text: str | None, file: Path | None, explain: bool, device: str
) -> None:
    r"""Choose the installed skill for a text.

    Prints the skill, or (base) if no skill fits and the base should answer. Candidates are the
    skills whose packs were built with --router. A skill's score compares the text with its
    examples, in nats; a skill with a score below 0 is not chosen.

    A file holds texts separated by blank lines, or JSON lines of the form
    {"text": "…"}.

    \b
    Examples:
      skillpm route "what is 12 times 12?"
      skillpm route --explain -
      skillpm route --file questions.jsonl --json
    """
    from skillpm.api.evaluating import route_texts

    texts = _texts(text, file)
    router, routed = route_texts(command_client(state), texts, device=device)
    decisions = routed.decisions
    _say_warnings(state, router)
    if state.json:
        documents = [_document(decision, router, explain=explain) for decision in decisions]
        end = {**_times(routed), **_warnings(router)}
        emit_json({**documents[0], **end} if file is None else {"results": documents, **end})
        return
    for routed_text, decision in zip(texts, decisions, strict=True):
        name = str(decision.skill) if decision.skill else "(base)"
        emit_line(name if file is None else f"{name}  {clean(routed_text[:_SHOWN])}")
        if explain:
            _show(router, decision)
    if text is not None and not explain:
        _say_why(state, decisions[0])
    if explain:
        emit_lines(
            f"\n{routed.features_ms:.1f} ms for features, {routed.decision_ms:.2f} ms to decide"
        )


def _say_warnings(state: State, router: "ProjectRouter") -> None:
    for warning in router.warnings:
        state.say(f"warning: {warning}")
    if not state.json:
        _say_left_out(state, router)


def _say_left_out(state: State, router: "ProjectRouter") -> None:
    for skill, reason in router.left_out.items():
        if skill in router.left_out.unsound:
            continue
        state.say(f"note: `{skill}` is not a candidate: {clean(reason)}")


def _say_why(state: State, decision: "Decision") -> None:
    """Print why no skill was chosen."""
    if decision.skill is None:
        state.say(f"note: {clean(decision.reason)}")


def _texts(text: str | None, file: Path | None) -> list[str]:
    if (text is None) == (file is None):
        raise UsageError(
            "`route` needs either a text or `--file FILE`",
            hint='`skillpm route "what is 2 + 2?"`',
        )
    if file is not None:
        from skillpm.api.evaluating import read_texts

        return read_texts(file)
    return [sys.stdin.read() if text == "-" else text or ""]


def _times(routed: "RoutedTexts") -> RouteTimes:
    return {
        "features_ms": round(routed.features_ms, 3),
        "decision_ms": round(routed.decision_ms, 3),
    }


def _warnings(router: "ProjectRouter") -> RouteWarnings:
    return {"warnings": list(router.warnings)} if router.warnings else {}


def _document(decision: "Decision", router: "ProjectRouter", *, explain: bool) -> RouteDocument:
    document: RouteDocument = {
        "skill": None if decision.skill is None else str(decision.skill),
        "score": _number(decision.score),
        "scores": {str(skill): _number(fit.score) for skill, fit in decision.fits.items()},
    }
    if explain:
        document["explain"] = _explanation(decision, router)
    return document


def _explanation(decision: "Decision", router: "ProjectRouter") -> RouteExplanation:
    return {
        "reason": decision.reason,
        "runner_up": None if decision.runner_up is None else str(decision.runner_up),
        "features": dict(router.router.facts),
        "fits": {str(skill): _fit(fit) for skill, fit in decision.fits.items()},
        "left_out": {str(skill): reason for skill, reason in router.left_out.items()},
        "near": [_near(pair, router) for pair in router.router.near],
    }


def _near(pair: "NearPair", router: "ProjectRouter") -> NearDocument:
    first = next((skill for skill in router.listed if skill in pair.skills), None)
    return {
        "skills": list(map(str, pair.skills)),
        "overlap": _number(pair.overlap),
        "precedence": None if first is None else str(first),
    }


def _fit(fit: "SkillFit") -> FitDocument:
    return {
        "evidence": _number(fit.evidence),
        "threshold": _number(fit.threshold),
        "base": _number(fit.base),
        "distance": _number(fit.distance),
        "score": _number(fit.score),
    }


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _show(router: "ProjectRouter", decision: "Decision") -> None:
    emit_lines(f"\n{clean(decision.reason)}\n")
    ranked = sorted(decision.fits.items(), key=lambda item: (-item[1].score, item[0]))
    rows = [
        (skill, f"{fit.score:.3f}", f"{fit.evidence:.3f}", f"{fit.threshold:.3f}",
         "-" if fit.base is None else f"{fit.base:.3f}", f"{fit.distance:.3f}")
        for skill, fit in ranked
    ]  # fmt: skip
    if rows:
        emit_table(rows, ("skill", "score", "evidence", "threshold", "base", "distance"))
    for pair in router.router.near:
        emit_lines(f"\nnear-equal: {clean(near_warning(pair, router.listed))}")
    facts = ", ".join(f"{key} {clean(value)}" for key, value in router.router.facts.items())
    emit_lines(f"\nfeatures: {facts}")
