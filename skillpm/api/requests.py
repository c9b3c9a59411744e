"""Parsing of arguments: the request of `install`, skill names and requirements."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.errors import SpecError, UsageError
from skillpm.spec.location import is_url
from skillpm.spec.weights import weights_of

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile
    from skillpm.flows.change.plan import Guard
    from skillpm.flows.change.request import InstallRequest
    from skillpm.spec.merging import Scalar
    from skillpm.spec.names import SkillName
    from skillpm.spec.overrides import GraftOverrides
    from skillpm.spec.requirements import Requirement
    from skillpm.spec.weights import WeightsGiven


def skill_names(skills: "Iterable[str | SkillName]") -> "tuple[SkillName, ...]":
    """Parse the names that are text. Raises `SpecError`."""
    from skillpm.spec.names import SkillName

    return tuple(SkillName.parse(skill) if isinstance(skill, str) else skill for skill in skills)


def requirements_of(skills: "Iterable[str | Requirement]") -> "tuple[Requirement, ...]":
    """Parse the requirements that are text. Raises `SpecError`."""
    from skillpm.spec.requirements import Requirement

    return tuple(Requirement.parse(skill) if isinstance(skill, str) else skill for skill in skills)


def install_request(  # noqa: PLR0913 - the options of `install`
    wanted: Sequence[str | Path],
    *,
    dry_run: bool = False,
    frozen: bool = False,
    guard: "Guard | None" = None,
    allow_yanked: bool = False,
    accept_footprint: bool = False,
    lowest: bool = False,
    weight: "WeightsGiven" = None,
) -> "InstallRequest":
    """Divide the arguments into requirements and pack files, and open the packs.

    A pack file is a `Path`, an existing file, or text that ends in `.skillpack`. Raises
    `UsageError` for a URL, for text that is not a requirement and for a wrong `weight`, and the
    errors of `open_pack`.
    """
    from skillpm.flows.change.request import InstallRequest

    files = [Path(item) for item in wanted if _is_file(item)]
    requirements = [_requirement(str(item)) for item in wanted if not _is_file(item)]
    packs = _open_packs(files)
    named = [need.skill for need in requirements] + [pack.manifest.skill for pack in packs]
    return InstallRequest(
        tuple(requirements),
        packs,
        dry_run=dry_run,
        frozen=frozen,
        guard=guard,
        allow_yanked=allow_yanked,
        accept_footprint=accept_footprint,
        lowest=lowest,
        weights=weights_of(weight, named),
    )


def graft_overrides(
    mode: str | None,
    method: str | None,
    settings: "Mapping[str, Scalar] | None",
    weights: "WeightsGiven",
) -> "GraftOverrides":
    """The settings of one graft. `GraftOverrides.apply` checks them."""
    from skillpm.spec.overrides import GraftOverrides

    return GraftOverrides(mode, method, settings or {}, weights)


def _open_packs(files: Sequence[Path]) -> "tuple[PackFile, ...]":
    if not files:
        return ()
    from skillpm.archive.reader import open_pack

    return tuple(map(open_pack, files))


def _is_file(item: str | Path) -> bool:
    """Whether an argument names a pack file. Raises `UsageError` for a URL."""
    if is_url(str(item)):
        raise UsageError(
            "expected a skill or a pack file, found a URL",
            hint="download the file first, or name a registry with `--registry URL`",
        )
    return isinstance(item, Path) or item.endswith(".skillpack") or Path(item).is_file()


def _requirement(text: str) -> "Requirement":
    from skillpm.spec.requirements import Requirement

    try:
        return Requirement.parse(text)
    except SpecError as problem:
        raise UsageError(problem.message, hint=problem.hint) from problem
