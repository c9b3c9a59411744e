"""The files of a registry's folder, checked before SQLite opens them: they may be untrusted."""

from pathlib import Path

from skillpm.files.access import RegistryFolder
from skillpm_registry.db.disk import is_network_folder, read_errors
from skillpm_registry.errors import RegistryCorruptError

FILE = "registry.db"
BLOBS = "blobs"
UPLOADS = "uploads"
PUBLIC = "public"
"""The folder of the static tree of an embedded registry that is served."""
JOURNAL = f"{FILE}-journal"
LOG = f"{FILE}-wal"
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
"""How a rollback journal ends that names another file, by SQLite's file format."""
BESIDE = (JOURNAL, LOG, f"{FILE}-shm")


def check_files(folder: Path, opened: RegistryFolder) -> None:
    """Raise unless it is safe for SQLite to open the catalogue.

    SQLite follows links, and reads files beside the database: a rollback journal can name another
    file, which SQLite deletes after it has applied the journal. Catalogues of skillpm have a
    rollback journal only on network file systems, and it never names another file. Raises
    `WrongKindError` and `RegistryCorruptError`.
    """
    with read_errors(folder):
        for name in (FILE, *BESIDE):
            opened.check_regular(name, missing=True)
        journal = opened.status(JOURNAL)
        is_refused = journal is not None and journal.st_size > 0
        if is_refused and is_network_folder(folder):
            with opened.open_file(JOURNAL) as source:
                source.seek(-min(len(_NAMES_ANOTHER), journal.st_size if journal else 0), 2)
                is_refused = source.read() == _NAMES_ANOTHER
    if is_refused:
        raise RegistryCorruptError(
            folder, f"the folder contains `{JOURNAL}`, which skillpm never writes"
        )
