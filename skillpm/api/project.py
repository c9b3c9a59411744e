"""The class `Project`: installed skills, changes of the environment, and the live model."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from skillpm.api.extras import needs_hf
from skillpm.api.guarding import probe_guard
from skillpm.api.options import Options
from skillpm.api.session import open_session
from skillpm.api.values import AuditReport, Change, GraftResult, InstalledSkill, RouteDecision

if TYPE_CHECKING:
    from skillpm.flows.evaluate.live import LiveRouter
    from skillpm.live.model import LiveModel


def open_project(
    folder: str | Path = ".",
    *,
    home: str | Path | None = None,
    base: str | Path | None = None,
    workers: int | None = None,
) -> "Project":
    """Open the project in a folder. Use it as a context manager, or call `close`.

    `home` is the folder of store, caches and embedded registry, `base` the path of the base model
    if it moved, `workers` the number of threads. A value of None is taken from environment
    variables and config files, as by the command line. Raises `NotFoundError` if the folder is not
    a project.
    """
    return Project(
        Options(
            folder=Path(folder),
            home=None if home is None else Path(home),
            base=None if base is None else Path(base).expanduser(),
            workers=workers,
        )
    )


def init_project(
    folder: str | Path, base: str | Path, *, home: str | Path | None = None
) -> "Project":
    """Create a project for a base model, as `skillpm init` does, and open it.

    Creates the folder if necessary. Raises `StateError` if the folder is a project already,
    `NotFoundError` if there is no model at `base`.
    """
    from skillpm.flows.change.init import init_project as make_project

    options = Options(folder=Path(folder), home=None if home is None else Path(home))
    options.project_folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as closing:
        session = open_session(options, closing.callback)
        make_project(session, Path(base).expanduser().absolute())
    return Project(options)


class Project:
    """An open project. Each change makes a new generation; a failed change changes nothing.

    `gc` in other processes waits until the project is closed. Methods raise `SkillpmError`.
    """

    def __init__(self, options: Options) -> None:
        from skillpm.environment.project import ProjectFolder

        self._options = options
        self._closing = ExitStack()
        self._session = open_session(options, self._closing.callback)
        self._folder: ProjectFolder = ProjectFolder(options.project_folder)
        self._model: LiveModel | None = None
        self._router: LiveRouter | None = None
        self._folder.require()

    def __repr__(self) -> str:
        return f"<skillpm.Project {str(self.folder)!r}, {len(self.skills)} skills>"

    @property
    def folder(self) -> Path:
        """The project's folder, absolute."""
        return self._options.project_folder

    @property
    def generation(self) -> int:
        """The number of the current generation."""
        return self._folder.current()

    @property
    def skills(self) -> tuple[InstalledSkill, ...]:
        """The skills of the current generation, sorted by name."""
        installed = self._folder.generation().installed
        return tuple(InstalledSkill.of(skill) for skill in installed.values())

    def install(
        self,
        *wanted: str | Path,
        dry_run: bool = False,
        frozen: bool = False,
        guard: bool = False,
        allow_yanked: bool = False,
        accept_footprint: bool = False,
    ) -> Change:
        """Install requirements and pack files; without arguments, the skills in the lock.

        A requirement is text such as `acme/math ^1.2`, a pack file a path that ends in
        `.skillpack`. With `guard`, the change is applied only if the probes of all skills hold.
        With `frozen`, raises `StateError` if the lock would change. Raises `ResolutionError` if no
        set of releases satisfies all requirements.
        """
        from skillpm.api.requests import install_request
        from skillpm.flows.change.install import install

        request = install_request(
            wanted,
            dry_run=dry_run,
            frozen=frozen,
            guard=probe_guard(enabled=guard),
            allow_yanked=allow_yanked,
            accept_footprint=accept_footprint,
        )
        return Change.of(install(self._session, request))

    def uninstall(self, *skills: str, dry_run: bool = False) -> Change:
        """Remove skills and what only they required. Needs no registry."""
        from skillpm.flows.change.uninstall import uninstall
        from skillpm.spec.names import SkillName

        names = tuple(map(SkillName.parse, skills))
        return Change.of(uninstall(self._session, names, dry_run=dry_run))

    def upgrade(
        self, *skills: str, dry_run: bool = False, guard: bool = False, allow_yanked: bool = False
    ) -> Change:
        """Upgrade skills to the newest releases that skillpm.toml allows; by default all skills.

        A skill may have a version range, `acme/math@~1.2`.
        """
        from skillpm.flows.change.install import upgrade
        from skillpm.flows.change.request import InstallRequest
        from skillpm.spec.requirements import Requirement

        request = InstallRequest(
            upgrade=tuple(map(Requirement.parse, skills)),
            dry_run=dry_run,
            guard=probe_guard(enabled=guard),
            allow_yanked=allow_yanked,
        )
        return Change.of(upgrade(self._session, request))

    def rollback(
        self, n: int | None = None, *, dry_run: bool = False, guard: bool = False
    ) -> Change:
        """Return to generation `n`, by default the one before the current."""
        from skillpm.flows.change.rollback import rollback

        checked = probe_guard(enabled=guard)
        return Change.of(rollback(self._session, n, dry_run=dry_run, guard=checked))

    def audit(self, *, advisories: Iterable[str | Path] = ()) -> AuditReport:
        """Check installed skills and grafts for problems. Reads every byte of them again.

        `advisories` are files or folders of OSV documents, used in addition to the registries'.
        """
        from skillpm.flows.audit.audit import audit

        report = audit(self._session, (), [Path(path) for path in advisories])
        return AuditReport.of(report.audited, report.fail_on)

    def graft(
        self,
        target: str | Path | None = None,
        *,
        only: Iterable[str] = (),
        link: bool = False,
        fresh: bool = False,
    ) -> GraftResult:
        """Write the base with the installed skills as a model folder that transformers loads.

        `target` must be absent, empty or an earlier graft; it defaults to `graft` in the project.
        With `link`, files that no skill changes are read-only hard links to the base's. With
        `fresh`, nothing of an earlier graft is reused.
        """
        from skillpm.flows.graft.graft import graft
        from skillpm.spec.names import SkillName

        names = tuple(map(SkillName.parse, only))
        path = None if target is None else Path(target)
        return GraftResult.of(graft(self._session, path, names, link=link, fresh=fresh))

    def load_model(
        self, *, device: str = "cpu", dtype: str = "auto", cache_bytes: int | None = None
    ) -> "LiveModel":
        """Load the base as a transformers model, with all installed skills attached, not merged.

        `with model.use_skill("acme/math"):` activates a skill. Decoded skills take at most
        `cache_bytes` of memory, by default the size of the base, but at least 256 MiB. Raises
        `IntegrityError` for another base or a damaged blob, `GraftError` for a base that
        transformers cannot run. Needs the extra `hf`.
        """
        with needs_hf("`load_model` runs the base"):
            from skillpm.flows.evaluate.live import load_live_model
        self._model = self._router = None
        model: LiveModel = load_live_model(
            self._session, self._folder, device=device, dtype=dtype, cache_bytes=cache_bytes
        )
        self._model = model
        return model

    def load_tokenizer(self) -> object:
        """Load the base's tokenizer with transformers. Needs the extra `hf`."""
        with needs_hf("`load_tokenizer` uses transformers"):
            from skillpm.flows.evaluate.live import base_tokenizer
        return base_tokenizer(self._session, self._folder)

    def route(self, texts: Sequence[str]) -> list[RouteDecision]:
        """Choose an installed skill for each text: `model.use_skill(decision.skill)`.

        Runs the base once over all texts. Uses the model from `load_model`, or loads one. Raises
        `UsageError` for a blank text. Needs the extra `hf`.
        """
        if isinstance(texts, str):
            texts = [texts]
        if self._router is None:
            with needs_hf("`route` runs the base"):
                from skillpm.flows.evaluate.live import LiveRouter
            self._router = LiveRouter(self._session, self._folder, self._model)
        return [RouteDecision.of(decision) for decision in self._router.route(texts)]

    def close(self) -> None:
        """Release the store and the model from `load_model`."""
        self._model = self._router = None
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _problem: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()
