"""The files of a registry's folder, checked before SQLite opens them: they may be untrusted."""

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
    """Raise unless it is safe for SQLite to open the catalogue.

    SQLite follows links, and reads files beside the database: a rollback journal can name another
    file, which SQLite deletes after it has applied the journal. Catalogues of skillpm are in WAL
    mode and never have a rollback journal. Raises `WrongKindError` and `RegistryCorruptError`.
    """
    with read_errors(folder):
        for name in (FILE, *BESIDE):
            opened.check_regular(name, missing=True)
        journal = opened.status(JOURNAL)
    if journal is not None and journal.st_size:
        raise RegistryCorruptError(
            folder, f"the folder contains `{JOURNAL}`, which skillpm never writes"
        )
