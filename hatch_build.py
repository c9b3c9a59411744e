"""The build hook that puts the registry's migrations into the wheel."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class MigrationsHook(BuildHookInterface[Any]):
    """Copy `migrations/` to `skillpm_registry/_migrations` in a wheel, not in an editable install.

    hatchling's option `force-include` applies to both. In an editable install, the copied folder
    would be a namespace package `skillpm_registry` in site-packages, and Python would import that
    package instead of the source.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the migrations to the files of a wheel; `version` is `standard` or `editable`."""
        if version == "standard":
            build_data["force_include"]["migrations"] = "skillpm_registry/_migrations"
