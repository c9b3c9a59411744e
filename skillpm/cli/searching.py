"""`search` and `show`: what registries offer."""

from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import ShownRelease
from skillpm.cli.inspecting import claim_document, show_pack
from skillpm.cli.output import (
    clean,
    emit_json,
    emit_line,
    emit_lines,
    emit_table,
    size_text,
    verified_text,
)
from skillpm.cli.params import RELEASES
from skillpm.cli.registries import release_document
from skillpm.cli.result_documents import (
    FoundDocument,
    ReleaseManifestDocument,
    SearchDocument,
    ShowDocument,
)
from skillpm.cli.state import Command, State, command_client, verified_packs

if TYPE_CHECKING:
    from skillpm.api.results import ReleaseDetails
    from skillpm.spec.release import Release
    from skillpm.spec.requirements import Requirement


@click.command(cls=Command)
@click.argument("text", default="", help="Words to find (default: list all skills).")
@click.pass_obj
def search(state: State, text: str) -> None:
    r"""Search a registry for skills.

    Lists skills whose name, summary or capabilities contain all words of TEXT.

    \b
    Example:
      skillpm search math
    """
    from skillpm.api.releases import search as search_releases

    releases = search_releases(command_client(state), text)
    if state.json:
        results: list[FoundDocument] = [
            {
                **release_document(release),
                "summary": release.summary,
                "verified": _is_verified(state, release),
            }
            for release in releases
        ]
        found: SearchDocument = {"results": results}
        emit_json(found)
        return
    if not releases:
        state.say(f"no skill matches `{text}`" if text else "the registry has no releases")
        return
    rows = [
        (
            release.skill,
            release.version,
            verified_text(_is_verified(state, release)),
            release.summary,
        )
        for release in releases
    ]
    emit_table(rows, ("skill", "version", "verified", "summary"))


@click.command(cls=Command)
@click.argument(
    "ref",
    metavar="SKILL[@VERSION]",
    type=RELEASES,
    help="Skill (`acme/math`), or a release of it (`acme/math@1.0.0`).",
)
@click.pass_obj
def show(state: State, ref: "Requirement") -> None:
    r"""List the releases of a skill, or show one.

    Of a skill, shows the base, size, licence and requirements of each release, and whether it was
    yanked or verified. Of a release, shows its manifest, without fetching its payload.

    \b
    Examples:
      skillpm show acme/math
      skillpm show acme/math@1.0.0
    """
    from skillpm.api.releases import list_releases, show_release
    from skillpm.spec.requirements import ANY

    client = command_client(state)
    if ref.range == ANY:
        _show_releases(state, ref, list_releases(client, ref.skill))
    else:
        _show_release(state, show_release(client, str(ref)))


def _show_releases(state: State, ref: "Requirement", releases: "list[Release]") -> None:
    if state.json:
        document: ShowDocument = {
            "skill": str(ref.skill),
            "releases": [_release_document(state, release) for release in releases],
        }
        emit_json(document)
        return
    emit_lines(f"{ref.skill}  {clean(releases[-1].summary)}\n")
    rows = [
        (
            release.version,
            _state_text(release),
            release.scheme,
            size_text(release.size),
            release.license or "-",
            release.base.short if release.base else "-",
            verified_text(_is_verified(state, release)),
            ", ".join(map(str, release.requires)) or "-",
        )
        for release in releases
    ]
    head = ("version", "state", "scheme", "size", "license", "base", "verified", "requires")
    emit_table(rows, head)


def _state_text(release: "Release") -> str:
    return "quarantined" if release.quarantined else "yanked" if release.yanked else ""


def _show_release(state: State, details: "ReleaseDetails") -> None:
    """Print everything about a release; of a quarantined one, what its registry lists."""
    from skillpm.verification.claims import claims_of

    release, pack = details.release, details.pack
    bases = [] if pack is None else verified_packs(state).bases(pack.digest)
    if state.json:
        claims = [] if pack is None else list(map(claim_document, claims_of(pack.manifest)))
        document: ReleaseManifestDocument = {
            **_release_document(state, release),
            "registry": str(details.registry),
            "manifest": None if pack is None else pack.manifest.to_dict(),
            "claims": claims,
            "verified_on": [str(base) for base in bases],
        }
        emit_json(document)
        return
    reason = f": {release.yank_reason}" if release.yank_reason else ""
    facts = {
        "registry": str(details.registry),
        "state": f"{_state_text(release)}{reason}" if release.yanked else "available",
    }
    if pack is not None:
        show_pack(state, pack, bases, facts)
        return
    known = {"skill": release.ref, "summary": release.summary or "-",
             "license": release.license or "-", "created": release.created,
             "digest": str(release.digest), **facts, "size": size_text(release.size)}  # fmt: skip
    for key, value in known.items():
        emit_line(f"{key:10} {clean(value)}")


def _is_verified(state: State, release: "Release") -> bool:
    """Whether the release was verified on its base with this `SKILLPM_HOME`."""
    if release.digest is None or release.base is None:
        return False
    return verified_packs(state).holds(release.digest, release.base)


def _release_document(state: State, release: "Release") -> ShownRelease:
    return {
        **release_document(release),
        "verified": _is_verified(state, release),
        "size": release.size,
        "base": str(release.base) if release.base else None,
        "requires": [str(need) for need in release.requires],
        "conflicts": [str(need) for need in release.conflicts],
        "yanked": release.yanked,
        "yank_reason": release.yank_reason,
        "quarantined": release.quarantined,
        "summary": release.summary,
        "license": release.license,
        "created": release.created,
        "scheme": release.scheme,
        "payload_bytes": release.payload_bytes,
    }
