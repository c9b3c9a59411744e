"""Releases and advisories in registries."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client
from skillpm.api.extras import needs_matplotlib
from skillpm.files.named import expanded

if TYPE_CHECKING:
    from skillpm.api.results import Advised, AnyPack, PublishedPack, ReleaseDetails
    from skillpm.spec.advisory import Advisory
    from skillpm.spec.names import SkillName
    from skillpm.spec.release import Release


def publish(client: Client, path: Path) -> "PublishedPack":
    """Verify a pack file and publish it. If this fails, the registry is unchanged."""
    from skillpm.flows.packs.publish import publish as flow

    return flow(client.session, path)


def yank(client: Client, ref: str, reason: str = "") -> "Release":
    """Hide a release, `acme/math@1.0.0`, from new resolutions. Locks can still install it."""
    from skillpm.flows.packs.publish import yank as flow

    return flow(client.session, ref, reason)


def unyank(client: Client, ref: str) -> "Release":
    """Undo `yank`."""
    from skillpm.flows.packs.publish import unyank as flow

    return flow(client.session, ref)


def search(client: Client, text: str = "") -> "list[Release]":
    """The latest release of each skill that matches all words."""
    from skillpm.flows.packs.publish import search as flow

    return flow(client.session, text)


def list_releases(client: Client, skill: "SkillName") -> "list[Release]":
    """All releases of a skill, oldest first. Raises `UnknownSkillError` if there are none."""
    from skillpm.flows.packs.publish import show

    return show(client.session, skill)


def show_release(client: Client, ref: str) -> "ReleaseDetails":
    """A release with its manifest, from the registry, without its payload.

    `ref` is a release or a range, which names the newest release in it. Raises `UnknownSkillError`.
    """
    from skillpm.flows.packs.publish import show_release as flow

    return flow(client.session, ref)


def inspect_release(client: Client, ref: str) -> "AnyPack":
    """A pack with all digests verified: a file, an installed skill, or a release of a registry.

    A release that the store lacks is fetched. Raises `IntegrityError` for a damaged pack.
    """
    from skillpm.archive.reader import open_pack
    from skillpm.flows.packs.find import find_intact, names_a_file

    return open_pack(expanded(ref)) if names_a_file(ref) else find_intact(client.session, ref)


def plot_pack(pack: "AnyPack", target: str | Path) -> None:
    """Write a plot of a pack. Raises `UsageError` if matplotlib is not installed."""
    with needs_matplotlib("`--plot` draws"):
        from skillpm.flows.inspect.picture import write_picture
    write_picture(pack, Path(target))


def create_registry(client: Client, path: Path, *, shared: bool = False) -> None:
    """Create an embedded registry in an empty folder; `shared` lets the folder's group write."""
    from skillpm.flows.session.cleanup import clean_up
    from skillpm.index.open import make_registry

    clean_up(client.session)
    make_registry(expanded(path).absolute(), shared=shared)


def add_advisories(client: Client, paths: Iterable[Path]) -> "list[Advised]":
    """Publish the advisories in OSV files, each to the registry that its skills are bound to."""
    from skillpm.flows.audit.advisories import add

    return add(client.session, list(paths))


def list_advisories(client: Client) -> "list[Advisory]":
    """Every advisory of the default registry."""
    from skillpm.flows.audit.advisories import listed

    return listed(client.session)


def withdraw_advisory(client: Client, identifier: str) -> "Advisory":
    """Withdraw an advisory: it stays listed but affects no release."""
    from skillpm.flows.audit.advisories import withdraw

    return withdraw(client.session, identifier)
