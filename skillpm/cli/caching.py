"""`cache`: the store and the caches in `SKILLPM_HOME`."""

from typing import TYPE_CHECKING

import click

from skillpm.cli.output import clean, emit_json, emit_line, emit_table, size_text
from skillpm.cli.state import Command, State, command_client, global_params
from skillpm.cli.upkeep_documents import (
    CacheDocument,
    CheckedCache,
    CleanedCache,
    DamagedBlob,
    HomeDocument,
    StoredRelease,
)
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.results import CacheVerified

_PARTS = {
    "store": "packs of all projects",
    "leaves": "hashes of the tensors of model files",
    "surveys": "codecs measured by `pack --budget` and `pack --keep`",
    "fisher": "statistics of `pack --calibration`",
    "layers": "encoded layers of packs that were not finished",
    "measures": "results of probes",
    "layouts": "tensor names and modules of model classes",
    "registries": "documents of registries over HTTP",
    "states": "yanked and quarantined releases",
    "staging": "downloads and files that are being written",
    "registry": "releases of the embedded registry",
    "transfers": "answers and weights of `transfer`",
    "unreachable": "the part of the store that no project needs (`skillpm gc`)",
}
"""The content of each part of the home."""


@click.group(params=global_params())
def cache() -> None:
    """Show, verify and clean the store and the caches."""


@cache.command("info", cls=Command)
@click.pass_obj
def cache_info(state: State) -> None:
    r"""Show the sizes of the store, caches and releases.

    \b
    Example:
      skillpm cache info
    """
    from skillpm.api.storage import cache_info as measure

    info = measure(command_client(state))
    if state.json:
        skills: list[StoredRelease] = [
            {
                "release": skill.ref,
                "digest": str(skill.digest),
                "bytes": skill.size,
                "own_bytes": skill.own,
            }
            for skill in info.skills
        ]
        document: CacheDocument = {
            "home": str(info.home),
            "blobs": info.blobs,
            "sizes": dict(info.sizes),
            "unreachable_bytes": info.unreachable,
            "skills": skills,
        }
        emit_json(document)
        return
    emit_line(f"{clean(info.home)}")
    sizes = {**info.sizes, "unreachable": info.unreachable}
    rows = [(name, size_text(size), _PARTS.get(name, "")) for name, size in sizes.items()]
    emit_table(rows, ("part", "size", "content"))
    if info.skills:
        emit_line("")
        table = [(skill.ref, size_text(skill.size), size_text(skill.own)) for skill in info.skills]
        emit_table(table, ("release", "size", "not shared"))


@cache.command("verify", cls=Command)
@click.option(
    "--repair", is_flag=True, help="Fetch damaged blobs again; remove those that are not needed."
)
@click.pass_obj
def cache_verify(state: State, *, repair: bool) -> None:
    r"""Check the digest of every blob in the store.

    Exit code 3 if a blob is damaged and was not repaired.

    \b
    Examples:
      skillpm cache verify
      skillpm cache verify --repair
    """
    from skillpm.api.storage import verify_cache

    result = verify_cache(command_client(state), repair=repair)
    if state.json:
        emit_json(_checked_document(result))
    else:
        for blob in result.damage:
            users = f"needed by {', '.join(blob.skills)}" if blob.skills else "not needed"
            verb = "repaired" if blob.repaired else "damaged"
            emit_line(f"{verb} {blob.digest}, {clean(users)}")
            if blob.problem:
                state.say(f"  {blob.problem}")
        verdict = f"{len(result.damage)} damaged" if result.damage else "all intact"
        emit_line(f"{counted(result.checked, 'blob')}, {size_text(result.size)}: {verdict}")
        if not result.holds and not repair:
            state.say("hint: `skillpm cache verify --repair` fetches them again")
    if not result.holds:
        raise click.exceptions.Exit(3)


def _checked_document(result: "CacheVerified") -> CheckedCache:
    damaged: list[DamagedBlob] = [
        {
            "digest": str(blob.digest),
            "skills": list(blob.skills),
            "repaired": blob.repaired,
            "problem": blob.problem,
        }
        for blob in result.damage
    ]
    return {"checked": result.checked, "bytes": result.size, "damaged": damaged}


@cache.command("clean", cls=Command)
@click.pass_obj
def cache_clean(state: State) -> None:
    r"""Remove cached hashes and measurements.

    They are computed again when they are needed. Packs in the store stay.

    \b
    Example:
      skillpm cache clean
    """
    from skillpm.api.storage import clean_cache

    freed = clean_cache(command_client(state))
    if state.json:
        document: CleanedCache = {"freed_bytes": freed}
        emit_json(document)
    else:
        emit_line(f"{size_text(freed)} freed")


@cache.command("path", cls=Command)
@click.pass_obj
def cache_path(state: State) -> None:
    r"""Print the folder of store, caches and registry.

    It is SKILLPM_HOME, by default the platform's folder for application data.

    \b
    Example:
      skillpm cache path
    """
    folder = state.options.home_folder
    if state.json:
        document: HomeDocument = {
            "home": str(folder),
            "store": str(folder / "store"),
            "cache": str(folder / "cache"),
        }
        emit_json(document)
    else:
        emit_line(str(folder))
