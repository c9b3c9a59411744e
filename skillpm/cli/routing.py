"""`route`: which installed skill would answer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.api.extras import needs_hf
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.spec.nearness import near_warning

if TYPE_CHECKING:
    from skillpm.flows.evaluate.routed_texts import ProjectRouter, RoutedTexts
    from skillpm.routing.router import Decision, SkillFit
    from skillpm.spec.nearness import NearPair

_FILE = LocalPath(exists=True, dir_okay=False)
_SHOWN = 60


@click.command(cls=Command)
@click.argument("text", required=False)
@click.option("--file", "file", type=_FILE, metavar="FILE", help="Route many texts of a file.")
@click.option("--explain", is_flag=True, help="Say what was compared, and why it came out so.")
@click.option("--device", default="cpu", metavar="NAME", help="Where the base runs (cpu).")
@click.pass_obj
def route(state: State, /, text: str | None, **asked: Any) -> None:
    r"""Say which installed skill TEXT is for; or none, and the base answers.

    A skill is a candidate if its pack was cut with --router. Its score says by how much the text
    fits its examples; under 0 it does not. `-` reads TEXT from stdin; --file takes text, cut at
    blank lines, or JSON lines of `{"text": …}`.

    \b
    skillpm route "what is 12 times 12?"
    skillpm route --explain -
    skillpm route --file questions.jsonl --json
    """
    texts = _texts(text, asked["file"])
    routes, done = _routed(state, texts, asked["device"])
    decisions = done.decisions
    if state.json:
        documents = [_document(one, routes, explain=asked["explain"]) for one in decisions]
        if asked["file"] is None:
            emit_json(documents[0] | _timed(done) | _warned(routes))
        else:
            emit_json({"results": documents} | _timed(done) | _warned(routes))
    for warning in routes.warnings:
        state.say(f"warning: {warning}")
    if state.json:
        return
    _say_left_out(state, routes)
    for each, decision in zip(texts, decisions, strict=True):
        name = str(decision.skill) if decision.skill else "(base)"
        emit_line(name if asked["file"] is None else f"{name}  {clean(each[:_SHOWN])}")
        if asked["explain"]:
            _show(routes, decision)
    if text is not None and not asked["explain"]:
        _say_why(state, decisions[0])
    if asked["explain"]:
        emit_lines(f"\n{done.features_ms:.1f} ms for features, {done.decision_ms:.2f} ms to decide")


def _say_left_out(state: State, routes: "ProjectRouter") -> None:
    for skill, reason in routes.left_out.items():
        if skill in routes.left_out.unsound:
            continue
        state.say(f"note: `{skill}` is no candidate: {clean(reason)}")


def _say_why(state: State, decision: "Decision") -> None:
    """Why no skill answers, where none does."""
    if decision.skill is None:
        state.say(f"note: {clean(decision.reason)}")


def _texts(text: str | None, file: Path | None) -> list[str]:
    if (text is None) == (file is None):
        raise UsageError(
            "`route` takes a text, or `--file FILE`", hint='`skillpm route "what is 2 + 2?"`'
        )
    if file is not None:
        from skillpm.calibration.texts import read_texts

        return read_texts(file)
    return [sys.stdin.read() if text == "-" else text or ""]


def _routed(state: State, texts: list[str], device: str) -> "tuple[ProjectRouter, RoutedTexts]":
    from skillpm.flows.evaluate.routed_texts import nothing_to_route

    session = command_session(state)
    routes = nothing_to_route(session)
    if routes is None:
        with needs_hf("`route` runs the base"):
            from skillpm.flows.evaluate.route import open_routes
        routes = open_routes(session, device=device)
    return routes, routes.route(texts)


def _timed(done: "RoutedTexts") -> dict[str, Any]:
    return {"features_ms": round(done.features_ms, 3), "decision_ms": round(done.decision_ms, 3)}


def _warned(routes: "ProjectRouter") -> dict[str, Any]:
    return {"warnings": list(routes.warnings)} if routes.warnings else {}


def _document(decision: "Decision", routes: "ProjectRouter", *, explain: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "skill": None if decision.skill is None else str(decision.skill),
        "score": _number(decision.score),
        "scores": {str(skill): _number(fit.score) for skill, fit in decision.fits.items()},
    }
    if explain:
        document["explain"] = {
            "reason": decision.reason,
            "runner_up": None if decision.runner_up is None else str(decision.runner_up),
            "features": dict(routes.router.facts),
            "fits": {str(skill): _fit(fit) for skill, fit in decision.fits.items()},
            "left_out": {str(skill): reason for skill, reason in routes.left_out.items()},
            "near": [_near(pair, routes) for pair in routes.router.near],
        }
    return document


def _near(pair: "NearPair", routes: "ProjectRouter") -> dict[str, Any]:
    first = next((skill for skill in routes.listed if skill in pair.skills), None)
    return {
        "skills": list(map(str, pair.skills)),
        "overlap": _number(pair.overlap),
        "precedence": None if first is None else str(first),
    }


def _fit(fit: "SkillFit") -> dict[str, Any]:
    return {key: _number(value) for key, value in vars(fit).items()} | {"score": _number(fit.score)}


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _show(routes: "ProjectRouter", decision: "Decision") -> None:
    emit_lines(f"\n{clean(decision.reason)}\n")
    ranked = sorted(decision.fits.items(), key=lambda one: (-one[1].score, one[0]))
    rows = [
        (skill, f"{fit.score:.3f}", f"{fit.evidence:.3f}", f"{fit.threshold:.3f}",
         "-" if fit.base is None else f"{fit.base:.3f}", f"{fit.distance:.3f}")
        for skill, fit in ranked
    ]  # fmt: skip
    if rows:
        emit_table(rows, ("skill", "score", "evidence", "threshold", "base", "distance"))
    for pair in routes.router.near:
        emit_lines(f"\nnear-equal: {clean(near_warning(pair, routes.listed))}")
    emit_lines(
        "\nfeatures: " + ", ".join(f"{k} {clean(v)}" for k, v in routes.router.facts.items())
    )
