"""A project inside a command: its folder, the session, and the registries that it is bound to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from skillpm.environment.project import ProjectFolder
from skillpm.flows.packs.registries import Registries
from skillpm.flows.session.session import Session
from skillpm.spec.project import ProjectFile
from skillpm.store.blobs import Store

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile


@dataclass(frozen=True)
class OpenProject:
    """What a change reads and writes. skillpm.toml is read once, when the project is opened."""

    session: Session
    folder: ProjectFolder
    registries: Registries

    @classmethod
    def open(
        cls, session: Session, folder: ProjectFolder, files: "tuple[PackFile, ...]" = ()
    ) -> Self:
        """Read skillpm.toml. `files` are pack files that the change installs.

        Raises `NotFoundError` where there is no project, `SpecError` for a bad skillpm.toml.
        """
        return cls(session, folder, Registries(session, folder.read_file(), files))

    @property
    def file(self) -> ProjectFile:
        """skillpm.toml, parsed."""
        return self.registries.file

    @property
    def store(self) -> Store:
        """The client's blobs."""
        return self.session.store
