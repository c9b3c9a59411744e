"""`transfer`: train the base on answers of source models, and pack what it learnt."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table, size_text
from skillpm.cli.packed import show_packed
from skillpm.cli.params import SKILL, VERSION, plot_option
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import LocalPath, ModelPath
from skillpm.errors import UsageError
from skillpm.pictures.formats import check_picture
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.results import Transferred
    from skillpm.spec.names import SkillName
    from skillpm.spec.versions import Version
    from skillpm.transfer.report import AbilityDocument, TransferDocument

_FILE = LocalPath(exists=True, dir_okay=False)
_EVALUATED = (None, "evaluate", "pack")
_UNTIL = ("sample", "filter", "sft", "dpo", "evaluate", "pack")


class TransferFlags(TypedDict):
    """The options of `skillpm transfer`; the names are those of `TransferOptions`."""

    file: Path | None
    sources: tuple[Path, ...]
    terms: tuple[str, ...]
    prompts: Path | None
    keep: Path | None
    probes: Path | None
    skill: "SkillName | None"
    version: "Version | None"
    budget: str | None
    held_out_probes: bool
    output: Path | None
    device: str
    dry_run: bool
    fresh: bool
    accept_loss: bool
    allow_exec: bool
    allow_keys: tuple[str, ...]


@click.command(cls=Command)
@click.argument(
    "file",
    metavar="[FILE]",
    type=_FILE,
    required=False,
    help="Table of options (TOML); options on the command line come first.",
)
@click.option(
    "--source",
    "sources",
    type=ModelPath(),
    multiple=True,
    metavar="PATH",
    help="Model folder or file of answers to learn from; repeatable.",
)
@click.option(
    "--terms",
    multiple=True,
    metavar="TEXT",
    help="Terms of use of a source, recorded as provenance; once for each --source.",
)
@click.option("--prompts", type=_FILE, metavar="FILE", help="Prompts with checks, as JSON lines.")
@click.option(
    "--keep",
    type=_FILE,
    metavar="FILE",
    help="General prompts that the base answers itself, so that it does not forget.",
)
@click.option(
    "--probes",
    type=_FILE,
    metavar="FILE",
    help="Probes of the pack, which measure the skill (default: a tenth of the prompts does).",
)
@click.option(
    "--held-out-probes",
    is_flag=True,
    help="Put held-out prompts and their checks into the pack, as probes.",
)
@click.option("--name", "skill", type=SKILL, metavar="N", help="Skill name, `acme/math`.")
@click.option("--version", type=VERSION, metavar="V", help="SemVer version, `1.0.0`.")
@click.option(
    "--budget", metavar="SIZE", help="Largest size of the pack, `5%` or `80MB` (default: lossless)."
)
@click.option(
    "-o",
    "--output",
    type=LocalPath(),
    metavar="FILE",
    help="Pack file to write (default: NAMESPACE-NAME-VERSION.skillpack).",
)
@click.option(
    "--device",
    metavar="NAME",
    default="cpu",
    show_default=True,
    help="Device for models: `cpu`, `cuda` or `cuda:N`.",
)
@plot_option("Draw what the models can do.")
@click.option(
    "--dry-run", is_flag=True, help="Estimate time, memory and requests from a few answers."
)
@click.option("--until", type=click.Choice(_UNTIL), help="Stop after this stage.")
@click.option("--fresh", is_flag=True, help="Discard recorded answers and trained weights.")
@click.option("--accept-loss", is_flag=True, help="Pack also if general answers suffered.")
@click.option("--allow-exec", is_flag=True, help="Run programs that models wrote, in the sandbox.")
@click.option(
    "--allow-key",
    "allow_keys",
    multiple=True,
    metavar="VAR@ORIGIN",
    help="Send the key in variable VAR to this origin; repeatable.",
)
@click.pass_obj
def transfer(
    state: State, /, *, until: str | None, plot: Path | None, **options: Unpack[TransferFlags]
) -> None:
    r"""Teach the base a skill of other models, and pack it.

    Source models of any architecture and tokenizer answer the prompts. Answers that pass their
    checks train the base, together with the base's own answers to general prompts. The result is
    packed if general answers stayed as they were. A stopped command continues where it was.

    \b
    Examples:
      skillpm transfer --base ./model --source ./qwen-math --prompts math.jsonl \
          --keep general.jsonl --name acme/math --version 1.0.0
      skillpm transfer transfer.toml --dry-run
    """
    from skillpm.api.transferring import TransferOptions, plot_transfer
    from skillpm.api.transferring import transfer as run
    from skillpm.transfer.stages import Stage

    if plot is not None:
        _check_plot(plot, evaluates=until in _EVALUATED and not options["dry_run"])
    stage = Stage(until) if until else None
    chosen = TransferOptions(base=state.base, until=stage, **options)
    result = run(command_client(state), chosen)
    document = result.report()
    if plot is not None:
        plot_transfer(result, plot)
        state.say(f"wrote {clean(plot)}")
    if state.json:
        emit_json(document)
        return
    _show(result, document)


def _check_plot(plot: Path, *, evaluates: bool) -> None:
    """Raise `UsageError` or `StateError` for a plot that cannot be written, before work starts."""
    if not evaluates:
        raise UsageError(
            "`--plot` shows what the models can do, but the transfer would end before that",
            hint="leave out `--plot`, or `--until` and `--dry-run`",
        )
    check_picture(plot)


def _show(result: "Transferred", document: "TransferDocument") -> None:
    """Print the table of stages or estimates, and what the models can do."""
    if not document["stages"]:
        rows = [(name, f"{seconds:.0f} s") for name, seconds in document["estimates"].items()]
        rows.append(("total", f"{result.estimate.seconds:.0f} s"))
        emit_table(rows, ("stage", "estimate"))
        emit_lines(f"\n{result.estimate.arithmetic}")
        emit_line(
            f"\nat least {size_text(document['memory'])} of memory for the training; "
            f"{counted(document['requests'], 'request')} to endpoints"
        )
        return
    emit_table(
        [(each["name"], f"{each['seconds']:.1f} s") for each in document["stages"]],
        ("stage", "time"),
    )
    if document["sources"]:
        emit_line()
        emit_table(
            [
                (clean(each["name"]), each["answers"], each["right"], _share(each["skill"]),
                 clean(each["terms"] or "unknown"))
                for each in document["sources"]
            ],
            ("source", "answers", "right", "skill", "terms"),
        )  # fmt: skip
    if document["before"] is not None:
        emit_line()
        models = {"base": document["before"], **document["models"]}
        kept = document["kept"]
        emit_table(
            [
                (f"{name} (kept)" if name == kept else name, *_figures(models[name]))
                for name in models
            ],
            ("model", "skill", "general", "prose"),
        )
    if result.packed is not None:
        emit_line()
        show_packed(result.packed)


def _figures(ability: "AbilityDocument") -> tuple[str, str, str]:
    prose = ability["prose"]
    return (
        _share(ability["skill"]),
        _share(ability["general"]),
        "-" if prose is None else f"{prose:.3f} nats",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
