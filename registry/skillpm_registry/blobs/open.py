"""Opening the stores of a registry. The libraries of a bucket are imported here only."""

import os
from pathlib import Path

from skillpm.files.access import RegistryFolder
from skillpm_registry.blobs.folder import Blobs
from skillpm_registry.blobs.protocol import BlobStore
from skillpm_registry.blobs.tree import FolderTree, StaticTree
from skillpm_registry.db.disk import write_errors
from skillpm_registry.refusals import BlobStoreError, ServerLibraryError

_SCHEME = "s3://"


def open_blobs(place: str, *, create: bool = False) -> BlobStore:
    """Open a folder, or a bucket given as `s3://bucket/prefix` with the usual `AWS_*` variables.

    With `create`, a missing folder is created. Raises `BlobStoreError` if it is missing, and
    `ServerLibraryError` if obstore is not installed.
    """
    if place.startswith(_SCHEME):
        try:
            from skillpm_registry.blobs.bucket import Bucket
        except ImportError as problem:
            raise ServerLibraryError("obstore", "s3") from problem
        return Bucket(place)
    folder = Path(place).absolute()
    if create:
        with write_errors(folder):
            RegistryFolder.make(folder).close()
    if not os.path.isdir(folder):  # noqa: PTH112 - false instead of an error for a long name
        raise BlobStoreError(place, "there is no such folder")
    return Blobs(folder)


def open_tree(place: str) -> StaticTree:
    """Open the tree of static documents: a folder, which may be missing, or a bucket."""
    if place.startswith(_SCHEME):
        try:
            from skillpm_registry.blobs.bucket import BucketTree
        except ImportError as problem:
            raise ServerLibraryError("obstore", "s3") from problem
        return BucketTree(place)
    return FolderTree(Path(place).absolute())
