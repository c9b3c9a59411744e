"""`inspect` and `verify`: show the manifest of a pack file, and check it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import (
    clean,
    compression_text,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
    error_text,
)
from skillpm.cli.probing import show_capabilities
from skillpm.cli.result_documents import ClaimDocument, InspectDocument, VerifyDocument
from skillpm.cli.state import Command, State, command_client, verified_packs
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillpm.archive.reader import PackFile
    from skillpm.spec.digests import Digest
    from skillpm.verification.claims import Claim

_PATH = LocalPath()
_SHOWN = 48
"""Characters of a claimed value that are shown."""


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.option(
    "--plot", type=_PATH, metavar="FILE.png", help="Write a plot of bytes and errors by layer."
)
@click.pass_obj
def inspect(state: State, path: Path, plot: Path | None) -> None:
    r"""Show what is in a pack file.

    Verifies every digest, then shows the manifest, and sizes and errors by module kind. --plot
    draws bytes and relative errors by layer and module kind, and the rate-distortion curve.

    \b
    Examples:
      skillpm inspect acme-math-1.0.0.skillpack
      skillpm inspect acme-math-1.0.0.skillpack --plot math.png
    """
    from skillpm.api.models import inspect as inspect_pack
    from skillpm.files.output import check_output
    from skillpm.verification.claims import claims_of

    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(
            f"`--plot` expects a file name that ends in `.png`, found `{plot}`",
            hint=f"--plot {plot.with_suffix('.png') if plot.name else 'pack.png'}",
        )
    if plot is not None:
        check_output(plot)
    pack = inspect_pack(path)
    file = pack.file
    bases = verified_packs(state).bases(file.digest)
    if plot is not None:
        pack.plot(plot)
        state.say(f"wrote {clean(plot)}")
    if state.json:
        inspected: InspectDocument = {
            "digest": pack.digest,
            "size": file.size,
            "manifest": dict(pack.manifest),
            "claims": list(map(_claim_document, claims_of(file.manifest))),
            "verified_on": [str(base) for base in bases],
        }
        emit_json(inspected)
        return
    _show_pack(file, bases)


def _claim_document(claim: "Claim") -> ClaimDocument:
    return {"path": claim.path, "value": claim.value, "reason": claim.reason}


def _show_pack(pack: "PackFile", bases: "Sequence[Digest]") -> None:
    from skillpm.verification.claims import claims_of

    manifest = pack.manifest
    compression = manifest.compression
    facts = {
        "skill": f"{manifest.skill} {manifest.version}",
        "summary": manifest.summary or "-",
        "license": manifest.license or "-",
        "authors": ", ".join(manifest.authors) or "-",
        "created": manifest.created,
        "digest": pack.digest,
        "verified": ", ".join(f"on base {base}" for base in bases)
        or "never here; the facts below are the author's (`skillpm verify PACK --base PATH`)",
        "base": f"{manifest.base.name} ({manifest.base.architecture}) {manifest.base.root}",
        "result": manifest.result_root,
        "over": ", ".join(f"{o.skill} {o.version}" for o in manifest.over) or "-",
        "requires": ", ".join(map(str, manifest.requires)) or "-",
        "conflicts": ", ".join(map(str, manifest.conflicts)) or "-",
        "files": ", ".join(f"{f.path} ({f.kind})" for f in manifest.files) or "-",
        "size": compression_text(compression, size=pack.path.stat().st_size),
        "error": error_text(compression.relative_error),
    }
    for key, value in facts.items():
        emit_line(f"{key:10} {clean(value)}")
    changes = Counter(entry.change for entry in manifest.footprint)
    counts = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
    emit_lines(f"{'tensors':10} {counts}\n")
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
    show_capabilities(manifest)
    _show_claims(claims_of(manifest))


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
@click.argument("path", metavar="PACK", type=_PATH)
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
            "claims": list(map(_claim_document, verified.unchecked)),
        }
        emit_json(document)
        return
    emit_line(f"{verified.pack.file.manifest.ref} is intact: {verified.pack.digest}")
    if root:
        emit_line(f"base + pack has the root in the manifest: {root}")
        emit_line("every statement of the manifest that can be recomputed is correct")
    else:
        emit_line("all digests and documents are correct; nothing was recomputed on a base")
        state.say(f"hint: `skillpm verify {path} --base PATH` recomputes the manifest")
    _show_claims(verified.unchecked)
