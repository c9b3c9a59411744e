"""`identify`: the identity of a model, and the tensors that differ from another one."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import DifferenceDocument, IdentityDocument
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.types import ModelPath
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.model_values import ModelComparison, ModelIdentity
    from skillpm.delta.tensors.differences import Difference

_MODEL = ModelPath()


@click.command(cls=Command)
@click.argument(
    "path", metavar="MODEL", type=_MODEL, help="Model folder, or a cached Hugging Face id."
)
@click.option(
    "--against", metavar="MODEL", type=_MODEL, help="List the tensors that differ from this model."
)
@click.pass_obj
def identify(state: State, path: Path, against: Path | None) -> None:
    r"""Show a model's identity: root, tensors, architecture.

    The root is a hash over all tensors. Two folders with the same root hold the same model.

    \b
    Examples:
      skillpm identify ./model
      skillpm identify ./tuned --against ./base
    """
    from skillpm.api.models import identify as identify_model

    identity = identify_model(path, against=against, client=command_client(state))
    if state.json:
        emit_json(_identity_document(identity))
        return
    facts = {
        "root": identity.root,
        "tensors": identity.tensors,
        "parameters": identity.parameters,
        "architecture": identity.architecture,
        "dtype": identity.dtype,
    }
    for key, value in facts.items():
        emit_line(f"{key:13} {clean(value)}")
    if identity.parts:
        emit_line(f"{'parts':13} {clean(', '.join(identity.parts))} (not included in the root)")
    if identity.comparison is not None:
        _show_comparison(identity.comparison)


def _identity_document(identity: "ModelIdentity") -> IdentityDocument:
    document: IdentityDocument = {
        "root": identity.root,
        "tensors": identity.tensors,
        "parameters": identity.parameters,
        "architecture": identity.architecture,
        "dtype": identity.dtype,
        "parts": list(identity.parts),
    }
    comparison = identity.comparison
    if comparison is not None:
        document["against"] = comparison.root
        document["differences"] = [_difference(entry) for entry in comparison.differences]
        document["differing_files"] = list(comparison.differing_files)
    return document


def _difference(entry: "Difference") -> DifferenceDocument:
    before, after = entry.before, entry.after
    return {
        "tensor": entry.tensor,
        "change": entry.change,
        "elements": entry.elements,
        "relative": entry.relative,
        "before": {"dtype": before.dtype, "shape": before.shape} if before else None,
        "after": {"dtype": after.dtype, "shape": after.shape} if after else None,
    }


def _show_comparison(comparison: "ModelComparison") -> None:
    _show_differences(comparison.differences)
    if comparison.differing_files:
        names = clean(", ".join(comparison.differing_files))
        emit_line(f"files of parts that differ: {names}")


def _show_differences(differences: "tuple[Difference, ...]") -> None:
    if not differences:
        emit_lines("\nno tensor differs")
        return
    emit_lines(f"\n{counted(len(differences), 'tensor differs', 'tensors differ')}:\n")
    rows = [
        (
            entry.tensor,
            entry.change,
            "-" if entry.elements is None else entry.elements,
            "-" if entry.relative is None else f"{entry.relative:.2e}",
        )
        for entry in differences
    ]
    emit_table(rows, ("tensor", "change", "elements", "relative"))
