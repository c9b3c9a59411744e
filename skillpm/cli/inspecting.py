"""`inspect` and `verify`: what a pack file says, and whether it holds."""

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
from skillpm.cli.state import Command, State, command_session, verified_packs
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skillpm.archive.reader import PackFile
    from skillpm.spec.digests import Digest
    from skillpm.verification.claims import Claim

_PATH = LocalPath()
_SHOWN = 48
"""Characters of a claimed value."""


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.option(
    "--plot", type=_PATH, metavar="FILE.png", help="Draw where the bytes and the error are."
)
@click.pass_obj
def inspect(state: State, path: Path, plot: Path | None) -> None:
    r"""Show a pack file: manifest, sizes by module, errors. Verifies every digest first.

    --plot draws bytes and relative errors, layer by kind of module, and the rate-distortion curve.

    \b
    skillpm inspect acme-math-1.0.0.skillpack
    skillpm inspect acme-math-1.0.0.skillpack --plot math.png
    """
    from skillpm.files.output import check_output
    from skillpm.flows.inspect.verify import inspect_pack
    from skillpm.verification.claims import claims_of

    if plot is not None and plot.suffix.lower() != ".png":
        raise UsageError(
            f"`--plot` writes a PNG: its name should end in `.png`, but is `{plot}`",
            hint=f"--plot {plot.with_suffix('.png') if plot.name else 'pack.png'}",
        )
    if plot is not None:
        check_output(plot)
    found = inspect_pack(path)
    bases = verified_packs(state).bases(found.digest)
    if plot is not None:
        _draw(found, plot)
        state.say(f"drew {clean(plot)}")
    if state.json:
        plain = found.manifest.to_dict()
        head = {"digest": str(found.digest), "size": found.size, "manifest": plain}
        claims = [claim.to_dict() for claim in claims_of(found.manifest)]
        emit_json({**head, "claims": claims, "verified_on": [str(base) for base in bases]})
        return
    _show_pack(found, bases)


def _draw(found: "PackFile", plot: Path) -> None:
    try:
        from skillpm.flows.inspect.picture import write_picture
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] != "matplotlib":
            raise
        raise UsageError(
            "`--plot` draws with matplotlib, which is not installed",
            hint="pip install 'skillpm-graft[plot]'",
        ) from problem
    write_picture(found, plot)


def _show_pack(found: "PackFile", bases: "Sequence[Digest]") -> None:
    from skillpm.verification.claims import claims_of

    manifest = found.manifest
    compression = manifest.compression
    facts = {
        "skill": f"{manifest.skill} {manifest.version}",
        "summary": manifest.summary or "-",
        "license": manifest.license or "-",
        "authors": ", ".join(manifest.authors) or "-",
        "created": manifest.created,
        "digest": found.digest,
        "verified": ", ".join(f"on base {base}" for base in bases)
        or "never here: what follows is as its author claims (`skillpm verify PACK --base PATH`)",
        "base": f"{manifest.base.name} ({manifest.base.architecture}) {manifest.base.root}",
        "result": manifest.result_root,
        "over": ", ".join(f"{o.skill} {o.version}" for o in manifest.over) or "-",
        "requires": ", ".join(map(str, manifest.requires)) or "-",
        "conflicts": ", ".join(map(str, manifest.conflicts)) or "-",
        "files": ", ".join(f"{f.path} ({f.kind})" for f in manifest.files) or "-",
        "size": compression_text(compression, size=found.path.stat().st_size),
        "error": error_text(compression.relative_error),
    }
    for key, value in facts.items():
        emit_line(f"{key:10} {clean(value)}")
    changes = Counter(entry.change for entry in manifest.footprint)
    counted = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
    emit_lines(f"{'tensors':10} {counted}\n")
    rows = [
        (
            kind,
            one.codec,
            one.bytes,
            "-" if one.relative_error is None else f"{one.relative_error:.4f}",
        )
        for kind, one in compression.modules.items()
    ]
    emit_table(rows, ("module", "codec", "bytes", "relative error"))
    show_capabilities(manifest)
    _show_claims(claims_of(manifest))


def _show_claims(claims: "Sequence[Claim]") -> None:
    """What only the author can know, with the reason."""
    import json

    if claims:
        emit_lines("\nclaimed by the author, and not checked:")
        rows = [(one.path, _cut(json.dumps(one.value)), one.reason) for one in claims]
        emit_table(rows, ("claim", "value", "reason"))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.option("--accept-footprint", is_flag=True, help="Go on on a base that is nearly right.")
@click.pass_obj
def verify(state: State, path: Path, *, accept_footprint: bool) -> None:
    r"""Re-hash a pack file; with --base, recompute what its manifest says.

    What only the author can know, such as the error against the tuned model, is listed as a claim.

    \b
    skillpm verify acme-math-1.0.0.skillpack --base ./model
    """
    from skillpm.flows.inspect.verify import verify_pack

    session = command_session(state)
    found = verify_pack(session, path, session.base, accept_footprint=accept_footprint)
    root = str(found.root) if found.root else None
    if state.json:
        claims = [claim.to_dict() for claim in found.claims]
        head = {"digest": str(found.pack.digest), "result_root": root}
        checked = ["digests", "documents", *(["base", "payload"] if root else [])]
        facts = {"verified": True, "checked": checked, "recomputed": root is not None}
        emit_json({**head, **facts, "claims": claims})
        return
    emit_line(f"{found.pack.manifest.ref} is whole: {found.pack.digest}")
    if root:
        emit_line(f"base + pack gives what it promised: {root}")
        emit_line("all that can be recomputed of its manifest holds")
    else:
        emit_line("its digests and documents hold; nothing was recomputed on the base")
        state.say(f"hint: `skillpm verify {path} --base PATH` recomputes its result")
    _show_claims(found.claims)
