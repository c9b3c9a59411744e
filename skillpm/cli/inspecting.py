"""`inspect` and `verify`: show the manifest of a pack, and check it."""

import shlex
from collections import Counter
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from skillpm.api.options import color_of
from skillpm.cli.charts import has_room, show_module_chart
from skillpm.cli.output import (
    clean,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
)
from skillpm.cli.params import PACK, plot_option
from skillpm.cli.probing import show_capabilities
from skillpm.cli.result_documents import ClaimDocument, InspectDocument, VerifyDocument
from skillpm.cli.state import Command, State, command_client, verified_packs
from skillpm.cli.types import LocalPath
from skillpm.pictures.formats import check_picture
from skillpm.spec.words import base_argument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skillpm.api.results import AnyPack
    from skillpm.spec.digests import Digest
    from skillpm.spec.manifest import Manifest
    from skillpm.spec.manifest_parts import Compression
    from skillpm.verification.claims import Claim

_PATH = LocalPath()
_SHOWN = 48
"""Characters of a claimed value that are shown."""


@click.command(cls=Command)
@click.argument(
    "ref",
    metavar="PACK",
    type=PACK,
    help="Pack file, installed skill (`acme/math`) or release (`acme/math@1.0.0`).",
)
@plot_option("Draw sizes and errors by module kind and layer.")
@click.pass_obj
def inspect(state: State, ref: str, plot: Path | None) -> None:
    r"""Show what is in a pack.

    Verifies every digest, then shows the manifest, and sizes and errors by module kind: as bars on
    a terminal, as a table elsewhere. A release that is not in the store is fetched; `skillpm show`
    shows it without that. --plot draws bytes by module kind and layer, bits for each weight, and
    the errors of a lossy pack; the ending of FILE chooses the format.

    \b
    Examples:
      skillpm inspect acme-math-1.0.0.skillpack
      skillpm inspect acme-math-1.0.0.skillpack --plot math.png
      skillpm inspect acme/math
      skillpm inspect acme/math@1.0.0
    """
    from skillpm.api.releases import inspect_release, plot_pack
    from skillpm.verification.claims import claims_of

    if plot is not None:
        check_picture(plot)
    pack = inspect_release(command_client(state), ref)
    bases = verified_packs(state).bases(pack.digest)
    if plot is not None:
        plot_pack(pack, plot)
        state.say(f"wrote {clean(plot)}")
    if state.json:
        inspected: InspectDocument = {
            "digest": str(pack.digest),
            "size": pack.size,
            "manifest": pack.manifest.to_dict(),
            "claims": list(map(claim_document, claims_of(pack.manifest))),
            "verified_on": [str(base) for base in bases],
        }
        emit_json(inspected)
        return
    show_pack(state, pack, bases)


def claim_document(claim: "Claim") -> ClaimDocument:
    """A claim as JSON documents list it."""
    return {"path": claim.path, "value": claim.value, "reason": claim.reason}


def show_pack(
    state: State,
    pack: "AnyPack",
    bases: "Sequence[Digest]",
    facts: "Mapping[str, str] | None" = None,
) -> None:
    """Print a manifest: facts, module kinds, capabilities and claims.

    `bases` are the roots on which the pack was verified; `facts` are printed after the digest.
    """
    from skillpm.spec.pack_texts import compression_text
    from skillpm.verification.claims import claims_of

    manifest, compression = pack.manifest, pack.manifest.compression
    rows = {
        "skill": f"{manifest.skill} {manifest.version}",
        "summary": manifest.summary or "-",
        "license": manifest.license or "-",
        "authors": ", ".join(manifest.authors) or "-",
        "created": manifest.created,
        "digest": pack.digest,
        **(facts or {}),
        "verified": ", ".join(f"on base {base}" for base in bases)
        or "not on this machine: the facts below are the author's",
        "base": f"{manifest.base.name} ({manifest.base.architecture}) {manifest.base.root}",
        "result": manifest.result_root,
        "over": ", ".join(f"{o.skill} {o.version}" for o in manifest.over) or "-",
        "requires": ", ".join(map(str, manifest.requires)) or "-",
        "conflicts": ", ".join(map(str, manifest.conflicts)) or "-",
        "files": ", ".join(f"{f.path} ({f.kind})" for f in manifest.files) or "-",
        "size": compression_text(compression, size=pack.file_size),
        "error": _error_text(compression.relative_error),
    }
    for key, value in rows.items():
        emit_line(f"{key:10} {clean(value)}")
    emit_lines(f"{'tensors':10} {_changes(manifest)}\n")
    _show_modules(state, compression)
    show_capabilities(manifest)
    _show_claims(claims_of(manifest))


def _changes(manifest: "Manifest") -> str:
    """How many tensors are changed, added, removed and resized."""
    changes = Counter(entry.change for entry in manifest.footprint)
    return ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))


def _show_modules(state: State, compression: "Compression") -> None:
    """Print sizes and errors by module kind: bars on a terminal, a table of numbers elsewhere."""
    columns = get_terminal_size().columns
    if has_room(columns):
        color = color_of(state.options)
        show_module_chart(compression.modules, columns=columns, color=color)
        return
    rows = [
        (
            kind,
            module.codec,
            module.bytes,
            "-" if module.relative_error is None else f"{module.relative_error:.4f}",
        )
        for kind, module in compression.modules.items()
    ]
    emit_table(rows, ("module", "codec", "bytes", "relative error"))


def _error_text(relative: float | None) -> str:
    return f"{relative:.3g} of the changed weights" if relative else "none: exact"


def _show_claims(claims: "Sequence[Claim]") -> None:
    """Print statements of the manifest that cannot be recomputed, each with the reason."""
    import json

    if claims:
        emit_lines("\nclaimed by the author, and not checked:")
        rows = [(claim.path, _shortened(json.dumps(claim.value)), claim.reason) for claim in claims]
        emit_table(rows, ("claim", "value", "reason"))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH, help="Pack file: `acme-math-1.0.0.skillpack`.")
@click.option(
    "--accept-footprint",
    is_flag=True,
    help="Accept another base if all tensors that the pack changes match.",
)
@click.pass_obj
def verify(state: State, path: Path, *, accept_footprint: bool) -> None:
    r"""Verify a pack file, and recompute it on a base.

    Checks every digest. With --base, decodes the pack and recomputes the statements of its
    manifest. Statements that only the author can know, such as the error against the tuned model,
    are listed as claims.

    \b
    Examples:
      skillpm verify acme-math-1.0.0.skillpack
      skillpm verify acme-math-1.0.0.skillpack --base ./model
    """
    from skillpm.api.models import verify as verify_pack

    client = command_client(state)
    base = client.session.base
    verified = verify_pack(path, base, accept_footprint=accept_footprint, client=client)
    root = verified.root
    if state.json:
        document: VerifyDocument = {
            "digest": verified.pack.digest,
            "result_root": root,
            "verified": root is not None,
            "checked": ["digests", "documents", *(["base", "payload"] if root else [])],
            "recomputed": root is not None,
            "claims": list(map(claim_document, verified.unchecked)),
        }
        emit_json(document)
        return
    emit_line(f"{verified.pack.file.manifest.ref} is intact: {verified.pack.digest}")
    if root:
        emit_line(f"base + pack has the root in the manifest: {root}")
        emit_line("every statement of the manifest that can be recomputed is correct")
    else:
        emit_line("all digests and documents are correct; nothing was recomputed on a base")
        place = clean(base_argument(verified.pack.file.manifest.base.name))
        command = f"skillpm verify {shlex.quote(str(path))} --base {place}"
        state.say(f"hint: `{command}` recomputes the manifest")
    _show_claims(verified.unchecked)
