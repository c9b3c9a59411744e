"""The class `Project`: installed skills, changes of the environment, and the live model."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from skillpm.api.audit_values import AuditReport
from skillpm.api.client import Client
from skillpm.api.guarding import probe_guard
from skillpm.api.options import Options
from skillpm.api.running import RunningProject
from skillpm.api.values import Change, InstalledSkill
from skillpm.errors import SkillpmError
from skillpm.files.named import expanded
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.spec.names import SkillName
    from skillpm.spec.requirements import Requirement
    from skillpm.spec.weights import WeightsGiven


def open_project(
    folder: str | Path = ".",
    *,
    home: str | Path | None = None,
    base: str | Path | None = None,
    workers: int | None = None,
) -> "Project":
    """Open the project in a folder. Use it as a context manager, or call `close`.

    `home` is the folder of store, caches and embedded registry, `base` another place of the base
    model, a path or a Hugging Face name, `workers` the number of threads. A value of None is taken
    from environment variables and config files, as by the command line. Raises `NotFoundError` if
    the folder is not a project.
    """
    return Project.open(folder, home=home, base=base, workers=workers)


def init_project(
    folder: str | Path, base: str | Path, *, home: str | Path | None = None
) -> "Project":
    """Create a project for a base model, as `skillpm init` does, and open it.

    Creates the folder if necessary. Raises `StateError` if the folder is a project already,
    `NotFoundError` if there is no model at `base`.
    """
    from skillpm.api.changes import create_project

    options = Options(folder=Path(folder), home=None if home is None else Path(home))
    options.project_folder.mkdir(parents=True, exist_ok=True)
    client = Client(options)
    create_project(client, Path(base))
    return Project(client)


class Project(RunningProject):
    """An open project. Each change makes a new generation; a failed change changes nothing.

    `gc` in other processes waits until the project is closed. Methods raise `SkillpmError`, and
    `NotFoundError` if the folder is not a project.
    """

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        home: str | Path | None,
        base: str | Path | None,
        workers: int | None,
    ) -> Self:
        """Open a project and check its options and `skillpm.toml`, as `open_project` does."""
        client = Client(
            Options(
                folder=Path(folder),
                home=None if home is None else Path(home),
                base=None if base is None else expanded(base),
                workers=workers,
            )
        )
        project = cls(client)
        _ = client.session  # checks the options
        project._folder.require()
        return project

    def __repr__(self) -> str:
        try:
            installed = counted(len(self.skills), "skill")
        except SkillpmError:  # for example, if the folder was removed
            installed = "unreadable"
        return f"<skillpm.Project {str(self.folder)!r}, {installed}>"

    @property
    def generation(self) -> int:
        """The number of the current generation."""
        return self._folder.current()

    @property
    def skills(self) -> tuple[InstalledSkill, ...]:
        """The skills of the current generation, sorted by name."""
        installed = self._folder.generation().installed
        return tuple(InstalledSkill.of(skill) for skill in installed.values())

    def install(  # noqa: PLR0913 - the options of `install`
        self,
        *wanted: str | Path,
        dry_run: bool = False,
        frozen: bool = False,
        guard: bool = False,
        device: str = "cpu",
        allow_yanked: bool = False,
        accept_footprint: bool = False,
        lowest: bool = False,
        weight: "WeightsGiven" = None,
    ) -> Change:
        """Install requirements and pack files; without arguments, the skills in the lock.

        A requirement is text such as `acme/math ^1.2`, a pack file a path that ends in
        `.skillpack`. With `guard`, the change is applied only if the probes of all skills pass on
        `device`. With `frozen`, raises `StateError` if the lock would change. `lowest` chooses the
        lowest allowed versions. `weight` is the weight of all these skills, or a mapping from names
        to weights. Raises `ResolutionError` if no set of releases satisfies all requirements.
        """
        from skillpm.api.requests import install_request
        from skillpm.flows.change.install import install

        request = install_request(
            wanted,
            dry_run=dry_run,
            frozen=frozen,
            guard=probe_guard(enabled=guard, device=device),
            allow_yanked=allow_yanked,
            accept_footprint=accept_footprint,
            lowest=lowest,
            weight=weight,
        )
        return Change.of(install(self._client.session, request))

    def uninstall(self, *skills: "str | SkillName", dry_run: bool = False) -> Change:
        """Remove skills and what only they required. Needs no registry."""
        from skillpm.api.requests import skill_names
        from skillpm.flows.change.uninstall import uninstall

        names = skill_names(skills)
        return Change.of(uninstall(self._client.session, names, dry_run=dry_run))

    def upgrade(
        self,
        *skills: "str | Requirement",
        dry_run: bool = False,
        guard: bool = False,
        device: str = "cpu",
        allow_yanked: bool = False,
        accept_footprint: bool = False,
        lowest: bool = False,
    ) -> Change:
        """Upgrade skills to the newest releases that skillpm.toml allows; by default all skills.

        A skill may have a version range, `acme/math@~1.2`. Other options are those of `install`.
        """
        from skillpm.api.requests import requirements_of
        from skillpm.flows.change.install import upgrade
        from skillpm.flows.change.request import InstallRequest

        request = InstallRequest(
            upgrade=requirements_of(skills),
            dry_run=dry_run,
            guard=probe_guard(enabled=guard, device=device),
            allow_yanked=allow_yanked,
            accept_footprint=accept_footprint,
            lowest=lowest,
        )
        return Change.of(upgrade(self._client.session, request))

    def rollback(
        self,
        n: int | None = None,
        *,
        dry_run: bool = False,
        guard: bool = False,
        device: str = "cpu",
    ) -> Change:
        """Return to generation `n`, by default the one before the current."""
        from skillpm.flows.change.rollback import rollback

        checked = probe_guard(enabled=guard, device=device)
        return Change.of(rollback(self._client.session, n, dry_run=dry_run, guard=checked))

    def audit(
        self, *, advisories: Iterable[str | Path] = (), grafts: Iterable[str | Path] = ()
    ) -> AuditReport:
        """Check installed skills and grafts for problems. Reads every byte of them again.

        `advisories` are files or folders of OSV documents, used in addition to the registries'.
        `grafts` are model folders that `graft` wrote, by default the project's `graft`.
        """
        from skillpm.flows.audit.audit import audit

        session = self._client.session
        report = audit(session, map(Path, grafts), map(Path, advisories))
        # Documents state a time only if SOURCE_DATE_EPOCH sets it, so that equal locks give equal
        # documents.
        return AuditReport.of(report, session.created if session.created != session.now else None)
