"""Names of version 0.1, kept for one version."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.project import Project

if TYPE_CHECKING:
    from skillpm.live.model import LiveModel


def open(  # noqa: A001 - the name of version 0.1
    folder: str | Path = ".",
    *,
    home: str | Path | None = None,
    base: str | Path | None = None,
    workers: int | None = None,
) -> "Workspace":
    """Deprecated: use `skillpm.open_project`."""
    warnings.warn("`skillpm.open` is now `skillpm.open_project`", DeprecationWarning, stacklevel=2)
    return Workspace.open(folder, home=home, base=base, workers=workers)


class Workspace(Project):
    """Deprecated: the name of `Project` in version 0.1."""

    def load(
        self, *, device: str = "cpu", dtype: str = "auto", warm_bytes: int | None = None
    ) -> "LiveModel":
        """Deprecated: use `Project.load_model`."""
        warnings.warn(
            "`Workspace.load` is now `Project.load_model`", DeprecationWarning, stacklevel=2
        )
        return self.load_model(device=device, dtype=dtype, cache_bytes=warm_bytes)
