"""`identify` and `pack`: models, and pack files cut from them."""

import time
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
from skillpm.cli.params import BUDGET, REQUIREMENT, SKILL, VERSION
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.delta.tensors.differences import Difference

_PATH = LocalPath()
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

    found = identify_model(command_session(state), path, against)
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
    from skillpm.api.packing import PackOptions, build_pack

    started = time.monotonic()
    options = PackOptions(
        base=asked.pop("base_path"),
        skill=asked.pop("name"),
        license=asked.pop("license_"),
        authors=asked.pop("author"),
        **asked,
    )
    done = build_pack(command_session(state), options)
    if state.json:
        emit_json(packed_plain(done) | {"seconds": round(time.monotonic() - started, 3)})
        return
    show_packed(done)
