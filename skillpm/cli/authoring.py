"""`identify` and `pack`: models, and pack files cut from them."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import (
    clean,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
)
from skillpm.cli.packed import packed_plain, show_packed
from skillpm.cli.params import BUDGET, REQUIREMENT, SKILL, VERSION, without_library
from skillpm.cli.probing import attach_probes
from skillpm.cli.state import Command, State, make_setting
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.errors import UsageError
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.delta.encode.schemes import Scheme
    from skillpm.delta.tensors.differences import Difference
    from skillpm.flows.pack.manifest import Attach, Request
    from skillpm.flows.pack.target import Calibrate, Wish

_PATH = LocalPath()
_KEEP = 0.99
"""What `--scheme auto` keeps where nothing is asked for."""
_FILE = LocalPath(exists=True, dir_okay=False)


@click.command(cls=Command)
@click.argument("path", type=_PATH)
@click.option("--against", metavar="PATH", type=_PATH, help="Say which tensors differ, and how.")
@click.pass_obj
def identify(state: State, path: Path, against: Path | None) -> None:
    r"""Say who a model is: its root, tensors, architecture.

    \b
    skillpm identify ./model
    skillpm identify ./tuned --against ./base
    """
    from skillpm.flows.inspect.identify import identify_model

    found = identify_model(make_setting(state), path, against)
    identity = found.identity
    document: dict[str, Any] = {
        "root": str(identity.root),
        "tensors": len(identity.leaves),
        "parameters": identity.parameters,
        "architecture": found.architecture,
        "dtype": identity.dtype,
        "parts": list(found.parts),
    }
    if found.against is not None:
        document["against"] = str(found.against.root)
        document["differences"] = [_difference(one) for one in found.differences]
        document["differing_files"] = list(found.differing_files)
    if state.json:
        emit_json(document)
        return
    for key in ("root", "tensors", "parameters", "architecture", "dtype"):
        emit_line(f"{key:13} {clean(document[key])}")
    if found.parts:
        emit_line(f"{'parts':13} {clean(', '.join(found.parts))} (not of the root)")
    if found.against is not None:
        _show_differences(found.differences)
        if found.differing_files:
            emit_line(f"files of parts that differ: {clean(', '.join(found.differing_files))}")


def _difference(one: "Difference") -> dict[str, Any]:
    return {
        "tensor": one.tensor,
        "change": one.change,
        "elements": one.elements,
        "relative": one.relative,
        "before": {"dtype": one.before.dtype, "shape": one.before.shape} if one.before else None,
        "after": {"dtype": one.after.dtype, "shape": one.after.shape} if one.after else None,
    }


def _show_differences(differences: "tuple[Difference, ...]") -> None:
    if not differences:
        emit_lines("\nno tensor differs")
        return
    emit_lines(f"\n{counted(len(differences), 'tensor differs', 'tensors differ')}:\n")
    rows = [
        (
            one.tensor,
            one.change,
            "-" if one.elements is None else one.elements,
            "-" if one.relative is None else f"{one.relative:.2e}",
        )
        for one in differences
    ]
    emit_table(rows, ("tensor", "change", "elements", "relative"))


@click.command(cls=Command)
@click.argument("base_path", metavar="BASE", type=_PATH)
@click.argument("tuned", metavar="TUNED", type=_PATH)
@click.option("--name", type=SKILL, required=True, metavar="N", help="The skill: `acme/math`.")
@click.option("--version", type=VERSION, required=True, metavar="V", help="Its SemVer version.")
@click.option("-o", "--output", type=_PATH, metavar="FILE", help="Where to write the pack.")
@click.option(
    "--scheme", type=click.Choice(["lossless", "graftllm", "auto"]), help="How to compress."
)
@click.option(
    "--budget", type=BUDGET, metavar="SIZE", help="auto: the largest file, `5%` or `80MB`."
)
@click.option(
    "--keep",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="auto: how much of the delta to keep, `0.99`.",
)
@click.option(
    "--calibration", type=_FILE, metavar="FILE", help="auto: text to tell what matters by."
)
@click.option("--device", metavar="NAME", help="Where models run: `cpu` or `cuda`.")
@click.option("--alpha", type=FiniteRange(0, 1), help="graftllm: share of embedding deltas kept.")
@click.option("--energy", type=FiniteRange(0, 1), help="graftllm: energy that MLP ranks keep.")
@click.option("--columns", type=click.Choice(["8/3/2", "8/4/2"]), help="graftllm: bits by column.")
@click.option("--requires", type=REQUIREMENT, multiple=True, metavar="R", help="Skills it needs.")
@click.option(
    "--conflicts", type=REQUIREMENT, multiple=True, metavar="R", help="Skills it excludes."
)
@click.option(
    "--over", multiple=True, metavar="REF", help="Packs that TUNED was trained on top of."
)
@click.option(
    "--tuned-is", type=click.Choice(["model", "adapter"]), help="Which of both TUNED is, if both."
)
@click.option("--cast", is_flag=True, help="Round TUNED to the base's dtype first.")
@click.option("--summary", default="", help="One line for `search`.")
@click.option("--license", "license_", metavar="SPDX", help="The licence, as an SPDX expression.")
@click.option("--author", multiple=True, help="Who made it.")
@click.option("--method", help="How it was trained, for provenance.")
@click.option("--data", multiple=True, help="What it was trained on, for provenance.")
@click.option("--card", type=_FILE, metavar="FILE", help="A Markdown card.")
@click.option(
    "--probes", type=_FILE, metavar="FILE", help="Probes, as JSON lines: run now, and carried."
)
@click.option("--router", type=_FILE, metavar="FILE", help="Example inputs, for `route`.")
@click.option(
    "--router-background", type=_FILE, metavar="FILE", help="Inputs that the base should keep."
)
@click.pass_obj
def pack(state: State, /, **asked: Any) -> None:
    r"""Cut a SkillPack: the difference between TUNED and BASE.

    Without --scheme the pack is lossless: base + pack is TUNED, bit for bit, proven before the
    file is written.

    \b
    skillpm pack ./base ./tuned --name acme/math --version 1.0.0
    skillpm pack ./base ./tuned --name acme/math --version 1.1.0 --budget 5%
    skillpm pack ./base ./tuned --name acme/math --version 1.2.0 --keep 0.99 \
        --calibration questions.jsonl
    """
    from skillpm.flows.pack.pack import pack as flow

    started = time.monotonic()
    scheme = _scheme(asked)
    done = flow(make_setting(state), _request(asked), scheme)
    if state.json:
        emit_json(packed_plain(done) | {"seconds": round(time.monotonic() - started, 3)})
        return
    show_packed(done)


def _request(asked: dict[str, Any]) -> "Request":
    from skillpm.flows.pack.manifest import Request

    if asked["version"].build:
        raise UsageError(f"version `{asked['version']}` has build metadata: OCI tags have no `+`")
    same = ("tuned", "version", "output", "summary", "requires", "conflicts", "over", "cast")
    return Request(
        base=asked["base_path"],
        skill=asked["name"],
        license=asked["license_"],
        authors=asked["author"],
        card=asked["card"].read_bytes() if asked["card"] else None,
        attach=_attached(asked),
        method=asked["method"],
        data=asked["data"],
        tuned_is=asked["tuned_is"],
        **{key: asked[key] for key in same},
    )


def _attached(asked: dict[str, Any]) -> "tuple[Attach, ...]":
    """What is measured on base and tuned model, and goes into the pack beside its delta."""
    attach: list[Attach] = []
    if asked["probes"]:
        attach.append(attach_probes(asked["probes"], asked["device"]))
    if asked["router"]:
        attach.append(_router(asked))
    elif asked["router_background"]:
        raise UsageError("`--router-background` goes with `--router FILE`")
    return tuple(attach)


def _router(asked: dict[str, Any]) -> "Attach":
    try:
        from skillpm.flows.evaluate.attach_router import attach_signature
    except ImportError as problem:
        raise without_library("--router runs the base", problem) from problem
    return partial(
        attach_signature,
        examples=asked["router"],
        background=asked["router_background"],
        device=asked["device"] or "cpu",
    )


def _scheme(asked: dict[str, Any]) -> "Scheme | Wish":
    lossy = {key: asked[key] for key in ("alpha", "energy", "columns") if asked[key] is not None}
    if asked["scheme"] == "auto" or asked["budget"] is not None or asked["keep"] is not None:
        if lossy:
            raise UsageError(f"`--{min(lossy)}` goes with `--scheme graftllm` only")
        return _wish(asked)
    for flag in ("calibration", "device"):
        runs = flag == "device" and (asked["probes"] or asked["router"])
        if asked[flag] is not None and not runs:
            raise UsageError(
                f"`--{flag}` goes with the scheme `auto`",
                hint="add `--budget 5%`, or `--keep 0.99`",
            )
    if asked["scheme"] == "graftllm":
        from skillpm.delta.encode.schemes import GraftLLM
        from skillpm.delta.encode.torch_svd import decompose

        return GraftLLM(decompose, **lossy)
    if lossy:
        raise UsageError(f"`--{min(lossy)}` goes with `--scheme graftllm` only")
    from skillpm.delta.encode.schemes import Lossless

    return Lossless()


def _wish(asked: dict[str, Any]) -> "Wish":
    if asked["scheme"] not in (None, "auto"):
        flag = "budget" if asked["budget"] is not None else "keep"
        raise UsageError(
            f"`--{flag}` goes with the scheme `auto`, not with `{asked['scheme']}`",
            hint="leave out --scheme",
        )
    if asked["budget"] is not None and asked["keep"] is not None:
        raise UsageError("`--budget` and `--keep` contradict each other", hint="choose one")
    keep = _KEEP if asked["budget"] is None and asked["keep"] is None else asked["keep"]
    from skillpm.flows.pack.fit_auto import fit
    from skillpm.flows.pack.target import Wish

    return Wish(fit, asked["budget"], keep, _calibrate(asked))


def _calibrate(asked: dict[str, Any]) -> "Calibrate | None":
    if asked["calibration"] is None:
        return None
    try:
        from skillpm.flows.pack.calibrate import calibrate
    except ImportError as problem:
        raise without_library("--calibration runs the model", problem) from problem
    return partial(calibrate, path=asked["calibration"], device=asked["device"] or "cpu")
