"""`pack`: build pack files from models."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from skillpm.cli.estimated import estimate_document, show_estimate
from skillpm.cli.output import emit_json
from skillpm.cli.packed import pack_document, show_packed
from skillpm.cli.params import BUDGET, REQUIREMENT, SKILL, VERSION
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import FiniteRange, LocalPath, ModelPath

if TYPE_CHECKING:
    from skillpm.delta.encoding.effort import Effort
    from skillpm.spec.budget import Budget
    from skillpm.spec.names import SkillName
    from skillpm.spec.requirements import Requirement
    from skillpm.spec.versions import Version

_PATH, _MODEL = LocalPath(), ModelPath()
_FILE = LocalPath(exists=True, dir_okay=False)


class PackFlags(TypedDict):
    """The options of `skillpm pack`; the names are those of `PackOptions`."""

    tuned: Path
    skill: "SkillName"
    version: "Version"
    output: Path | None
    scheme: str | None
    budget: "Budget | None"
    keep: float | None
    calibration: Path | None
    device: str | None
    effort: "Effort | None"
    alpha: float | None
    energy: float | None
    columns: str | None
    requires: "tuple[Requirement, ...]"
    conflicts: "tuple[Requirement, ...]"
    over: tuple[str, ...]
    tuned_is: str | None
    cast: bool
    summary: str
    license: str | None
    authors: tuple[str, ...]
    method: str | None
    data: tuple[str, ...]
    card: Path | None
    probes: Path | None
    router: Path | None
    router_background: Path | None


@click.command(cls=Command)
@click.argument(
    "base_path",
    metavar="BASE",
    type=_MODEL,
    help="Model that TUNED was trained from: a folder, or a cached Hugging Face id.",
)
@click.argument(
    "tuned",
    metavar="TUNED",
    type=_MODEL,
    help="Model folder, cached Hugging Face id, or folder of a PEFT adapter.",
)
@click.option(
    "--name", "skill", type=SKILL, required=True, metavar="N", help="Skill name, `acme/math`."
)
@click.option(
    "--version", type=VERSION, required=True, metavar="V", help="SemVer version, `1.0.0`."
)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    metavar="FILE",
    help="Pack file to write (default: NAMESPACE-NAME-VERSION.skillpack).",
)
@click.option(
    "--scheme",
    type=click.Choice(["lossless", "graftllm", "auto"]),
    help="Compression scheme (default: lossless, or auto with --budget or --keep).",
)
@click.option(
    "--budget", type=BUDGET, metavar="SIZE", help="auto: largest file size, `5%` or `80MB`."
)
@click.option(
    "--keep",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="auto: share to keep (default: 0.99); of the gain and divergence on held-out text with "
    "--calibration, else of the weighted energy of the delta.",
)
@click.option(
    "--calibration",
    type=_FILE,
    metavar="FILE",
    help="auto: text that weights errors by their effect on the model.",
)
@click.option(
    "--effort",
    type=click.Choice(["fast", "normal", "best"]),
    help="lossless: speed or size (default: normal).",
)
@click.option(
    "--device",
    metavar="NAME",
    help="Device for tensors and models: `cpu`, `cuda` or `cuda:N` (default: cpu).",
)
@click.option(
    "--alpha",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    help="graftllm: share of embedding deltas to keep (default: 0.1).",
)
@click.option(
    "--energy",
    type=FiniteRange(0, 1),
    metavar="SHARE",
    help="graftllm: share of MLP energy to keep (default: 0.95).",
)
@click.option(
    "--columns",
    type=click.Choice(["8/3/2", "8/4/2"]),
    help="graftllm: bits of the factors' columns (default: 8/4/2).",
)
@click.option(
    "--requires",
    type=REQUIREMENT,
    multiple=True,
    metavar="R",
    help="Skill that this one requires; repeatable.",
)
@click.option(
    "--conflicts",
    type=REQUIREMENT,
    multiple=True,
    metavar="R",
    help="Skill that cannot be installed with this one; repeatable.",
)
@click.option(
    "--over",
    multiple=True,
    metavar="REF",
    help="Pack that was on the base when TUNED was trained; repeatable.",
)
@click.option(
    "--tuned-is",
    type=click.Choice(["model", "adapter"]),
    help="What to read from TUNED if it holds a model and an adapter.",
)
@click.option("--cast", is_flag=True, help="Round TUNED to the base's dtypes first.")
@click.option("--summary", default="", help="One line of text that `search` shows.")
@click.option("--license", metavar="SPDX", help="Licence, as an SPDX expression.")
@click.option("--author", "authors", multiple=True, help="Author; repeatable.")
@click.option("--method", help="Training method, recorded as provenance.")
@click.option("--data", multiple=True, help="Training data, recorded as provenance; repeatable.")
@click.option("--card", type=_FILE, metavar="FILE", help="Model card in Markdown.")
@click.option(
    "--probes",
    type=_FILE,
    metavar="FILE",
    help="Probes as JSON lines, run now and stored in the pack.",
)
@click.option("--router", type=_FILE, metavar="FILE", help="Example inputs, for `skillpm route`.")
@click.option(
    "--router-background",
    type=_FILE,
    metavar="FILE",
    help="Inputs that the base should answer; needs --router.",
)
@click.option("--dry-run", is_flag=True, help="Estimate time, memory and file size; write nothing.")
@click.pass_obj
def pack(state: State, /, *, base_path: Path, dry_run: bool, **options: Unpack[PackFlags]) -> None:
    r"""Build a SkillPack from a base and a tuned model.

    The pack holds the difference between the two. By default it is lossless: base + pack equals
    TUNED bit for bit, which is checked before the file is written. TUNED is a model folder or a
    PEFT adapter.

    \b
    Examples:
      skillpm pack ./base ./tuned --name acme/math --version 1.0.0
      skillpm pack ./base ./tuned --name acme/math --version 1.1.0 --budget 5%
      skillpm pack ./base ./tuned --name acme/math --version 1.1.0 --budget 5% --dry-run
      skillpm pack ./base ./tuned --name acme/math --version 1.2.0 --keep 0.99 \
          --calibration questions.jsonl
    """
    from skillpm.api.estimating import estimate_options
    from skillpm.api.packing import PackOptions, build_pack

    started, chosen = time.monotonic(), PackOptions(base=base_path, **options)
    if dry_run:
        estimate = estimate_options(command_client(state), chosen, whole_process=True)
        if state.json:
            emit_json(estimate_document(estimate))
            return
        show_estimate(estimate)
        return
    packed = build_pack(command_client(state), chosen)
    if state.json:
        seconds = round(time.monotonic() - started, 3)
        emit_json({**pack_document(packed), "seconds": seconds})
        return
    show_packed(packed)
