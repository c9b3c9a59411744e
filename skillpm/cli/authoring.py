"""`identify`, `pack`, `inspect`, `verify`: models and pack files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import clean, emit_json, emit_table, size_text
from skillpm.cli.params import REQUIREMENT, SKILL, VERSION
from skillpm.cli.state import Command, State, make_setting
from skillpm.errors import UsageError

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile
    from skillpm.delta.differ import Difference
    from skillpm.delta.schemes import Scheme
    from skillpm.flows.manifest_of import Request
    from skillpm.flows.pack import Packed

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


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
    from skillpm.flows.identify import identify_model

    found = identify_model(make_setting(state), path, against)
    identity = found.identity
    document: dict[str, Any] = {
        "root": str(identity.root),
        "tensors": len(identity.leaves),
        "parameters": identity.parameters,
        "architecture": found.architecture,
        "dtype": identity.dtype,
    }
    if found.against is not None:
        document["against"] = str(found.against.root)
        document["differences"] = [_difference(one) for one in found.differences]
    if state.json:
        emit_json(document)
        return
    for key in ("root", "tensors", "parameters", "architecture", "dtype"):
        click.echo(f"{key:13} {clean(document[key])}")
    if found.against is not None:
        _show_differences(found.differences)


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
        click.echo("\nno tensor differs")
        return
    click.echo(f"\n{len(differences)} tensors differ:\n")
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
@click.option("--budget", metavar="SIZE", help="Largest pack file (needs the scheme `auto`).")
@click.option("--keep", type=float, metavar="SHARE", help="Fidelity to keep (needs `auto`).")
@click.option(
    "--alpha", type=click.FloatRange(0, 1), help="graftllm: share of embedding deltas kept."
)
@click.option("--energy", type=click.FloatRange(0, 1), help="graftllm: energy that MLP ranks keep.")
@click.option("--columns", type=click.Choice(["8/3/2", "8/4/2"]), help="graftllm: bits by column.")
@click.option("--requires", type=REQUIREMENT, multiple=True, metavar="R", help="Skills it needs.")
@click.option(
    "--conflicts", type=REQUIREMENT, multiple=True, metavar="R", help="Skills it excludes."
)
@click.option(
    "--over", multiple=True, metavar="REF", help="Packs that TUNED was trained on top of."
)
@click.option("--cast", is_flag=True, help="Round TUNED to the base's dtype first.")
@click.option("--summary", default="", help="One line for `search`.")
@click.option("--license", "license_", metavar="SPDX", help="The licence, as an SPDX expression.")
@click.option("--author", multiple=True, help="Who made it.")
@click.option("--method", help="How it was trained, for provenance.")
@click.option("--data", multiple=True, help="What it was trained on, for provenance.")
@click.option("--card", type=_FILE, metavar="FILE", help="A Markdown card.")
@click.option("--probes", type=_FILE, metavar="FILE", help="Probes, as JSON lines.")
@click.pass_obj
def pack(state: State, /, **asked: Any) -> None:
    r"""Cut a SkillPack: the difference between TUNED and BASE.

    Without --scheme the pack is lossless: base + pack is TUNED, bit for bit, proven before the
    file is written.

    \b
    skillpm pack ./base ./tuned --name acme/math --version 1.0.0
    skillpm pack ./base ./tuned --name acme/math --version 1.1.0 --scheme graftllm
    """
    from skillpm.flows.pack import pack as flow

    started = time.monotonic()
    scheme = _scheme(asked)
    done = flow(make_setting(state), _request(asked), scheme)
    if state.json:
        emit_json(_packed(done) | {"seconds": round(time.monotonic() - started, 3)})
        return
    compression = done.manifest.compression
    click.echo(
        f"packed {done.manifest.ref} into {clean(done.path)}\n"
        f"  {size_text(done.file_bytes)} for a delta of {size_text(compression.delta_bytes)} "
        f"({compression.ratio:.2f} to 1, {compression.scheme}), "
        f"{_error_text(compression.relative_error)}\n"
        f"  {done.digest}"
    )


def _request(asked: dict[str, Any]) -> "Request":
    from skillpm.flows.manifest_of import Request

    if asked["version"].build:
        raise UsageError(f"version `{asked['version']}` has build metadata: OCI tags have no `+`")
    same = ("tuned", "version", "output", "summary", "requires", "conflicts", "over", "cast")
    return Request(
        base=asked["base_path"],
        skill=asked["name"],
        license=asked["license_"],
        authors=asked["author"],
        card=asked["card"].read_bytes() if asked["card"] else None,
        probes=asked["probes"].read_bytes() if asked["probes"] else None,
        method=asked["method"],
        data=asked["data"],
        **{key: asked[key] for key in same},
    )


def _packed(done: "Packed") -> dict[str, Any]:
    compression = done.manifest.compression
    return {
        "skill": str(done.manifest.skill),
        "version": str(done.manifest.version),
        "path": str(done.path),
        "digest": str(done.digest),
        "scheme": compression.scheme,
        "payload_bytes": compression.payload_bytes,
        "delta_bytes": compression.delta_bytes,
        "ratio": compression.ratio,
        "relative_error": compression.relative_error,
        "file_bytes": done.file_bytes,
        "result_root": str(done.manifest.result_root),
    }


def _error_text(relative: float | None) -> str:
    return "exact" if not relative else f"relative error {relative:.3g}"


def _scheme(asked: dict[str, Any]) -> "Scheme":
    lossy = {key: asked[key] for key in ("alpha", "energy", "columns") if asked[key] is not None}
    if asked["scheme"] == "auto" or asked["budget"] or asked["keep"] is not None:
        raise UsageError(
            "this skillpm has no scheme `auto` yet, which `--budget` and `--keep` need",
            hint="choose `--scheme lossless` or `--scheme graftllm`",
        )
    if asked["scheme"] == "graftllm":
        from skillpm.delta.factor import decompose
        from skillpm.delta.schemes import GraftLLM

        return GraftLLM(decompose, **lossy)
    if lossy:
        raise UsageError(f"`--{min(lossy)}` goes with `--scheme graftllm` only")
    from skillpm.delta.schemes import Lossless

    return Lossless()


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.pass_obj
def inspect(state: State, path: Path) -> None:
    r"""Show a pack file: manifest, sizes by module, errors. Verifies every digest first.

    \b
    skillpm inspect acme-math-1.0.0.skillpack
    """
    from skillpm.flows.verify import inspect_pack

    found = inspect_pack(path)
    if state.json:
        plain = found.manifest.plain()
        emit_json({"digest": str(found.digest), "size": found.size, "manifest": plain})
        return
    _show_pack(found)


def _show_pack(found: "PackFile") -> None:
    manifest = found.manifest
    compression = manifest.compression
    facts = {
        "skill": f"{manifest.skill} {manifest.version}",
        "summary": manifest.summary or "-",
        "license": manifest.license or "-",
        "authors": ", ".join(manifest.authors) or "-",
        "created": manifest.created,
        "digest": found.digest,
        "base": f"{manifest.base.name} ({manifest.base.architecture}) {manifest.base.root}",
        "result": manifest.result_root,
        "over": ", ".join(f"{o.skill} {o.version}" for o in manifest.over) or "-",
        "requires": ", ".join(map(str, manifest.requires)) or "-",
        "conflicts": ", ".join(map(str, manifest.conflicts)) or "-",
        "files": ", ".join(f"{f.path} ({f.kind})" for f in manifest.files) or "-",
        "scheme": compression.scheme,
        "size": f"{size_text(found.size)}, {compression.ratio:.2f} to 1 of "
        f"{size_text(compression.delta_bytes)}; {_error_text(compression.relative_error)}",
    }
    for key, value in facts.items():
        click.echo(f"{key:10} {clean(value)}")
    changes: dict[str, int] = {}
    for entry in manifest.footprint:
        changes[entry.change] = changes.get(entry.change, 0) + 1
    counted = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
    click.echo(f"{'tensors':10} {counted}\n")
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


@click.command(cls=Command)
@click.argument("path", metavar="PACK", type=_PATH)
@click.option("--accept-footprint", is_flag=True, help="Go on on a base that is nearly right.")
@click.pass_obj
def verify(state: State, path: Path, *, accept_footprint: bool) -> None:
    r"""Re-hash a pack file; with --base, graft it in memory and check the promised root.

    \b
    skillpm verify acme-math-1.0.0.skillpack --base ./model
    """
    from skillpm.flows.verify import verify_pack

    found = verify_pack(make_setting(state), path, state.base, accept_footprint=accept_footprint)
    root = str(found.root) if found.root else None
    if state.json:
        emit_json({"digest": str(found.pack.digest), "result_root": root, "verified": True})
        return
    click.echo(f"{found.pack.manifest.ref} is whole: {found.pack.digest}")
    if root:
        click.echo(f"base + pack gives what it promised: {root}")
