"""The build hook that puts the registry's migrations and the man pages into the wheel."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MigrationsHook(BuildHookInterface[Any]):
    """Copy `migrations/`, and the man pages that `make man` has written, into a wheel.

    The migrations go to `skillpm_registry/_migrations`, and not into an editable install.

    hatchling's option `force-include` applies to both. In an editable install, the copied folder
    would be a namespace package `skillpm_registry` in site-packages, and Python would import that
    package instead of the source.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the migrations to the files of a wheel; `version` is `standard` or `editable`."""
        if version == "standard":
            build_data["force_include"]["migrations"] = "skillpm_registry/_migrations"
            pages = Path(self.root, "build", "man")
            if pages.is_dir():
                build_data["shared_data"][str(pages)] = "share/man/man1"
