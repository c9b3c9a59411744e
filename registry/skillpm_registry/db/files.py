"""The files of a registry's folder, which may come from a stranger: what SQLite may be shown."""

from pathlib import Path

from skillpm.files.access import RegistryFolder
from skillpm_registry.db.disk import read_errors
from skillpm_registry.errors import RegistryCorruptError

FILE = "registry.db"
BLOBS = "blobs"
JOURNAL = f"{FILE}-journal"
LOG = f"{FILE}-wal"
BESIDE = (JOURNAL, LOG, f"{FILE}-shm")


def check_files(folder: Path, opened: RegistryFolder) -> None:
    """Raise unless SQLite may open the catalogue: it follows links, and obeys what lies beside it.

    A rollback journal names a further file, which SQLite deletes after it has played the journal
    back. A skillpm catalogue has a log instead, so no journal belongs to it. Raises
    `WrongKindError`, `RegistryCorruptError`.
    """
    with read_errors(folder):
        for name in (FILE, *BESIDE):
            opened.check_regular(name, missing=True)
        journal = opened.status(JOURNAL)
    if journal is not None and journal.st_size:
        raise RegistryCorruptError(
            folder, f"`{JOURNAL}` lies beside it, which skillpm never writes"
        )
