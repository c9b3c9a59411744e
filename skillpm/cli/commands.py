"""The commands of `skillpm`. A command's module is imported when the command is first looked up."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module

import click

_MODULES = {
    "accounts": ("login", "logout", "whoami"),
    "auditing": ("audit",),
    "authoring": ("pack",),
    "caching": ("cache",),
    "configuring": ("config",),
    "differences": ("diff",),
    "exporting": ("bundle", "export"),
    "generations": ("apply", "rollback"),
    "habits": ("completion", "doctor"),
    "identifying": ("identify",),
    "inspecting": ("inspect", "verify"),
    "locking": ("lock",),
    "models": ("graft",),
    "probing": ("probe",),
    "project": ("init", "install", "uninstall", "upgrade"),
    "reading": ("history", "list"),
    "registries": ("publish", "registry", "unyank", "yank"),
    "relations": ("outdated", "tree", "why"),
    "resolving": ("resolve",),
    "routing": ("route",),
    "running": ("run",),
    "searching": ("search", "show"),
    "storage": ("gc",),
    "transferring": ("transfer",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


class Commands(MutableMapping[str, click.Command]):
    """The commands of the group `skillpm` by name, as `click.Group` takes them."""

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command | None] = dict.fromkeys(_HOME)

    def __getitem__(self, name: str) -> click.Command:
        command = self._loaded[name]
        if command is None:
            module = import_module(f"skillpm.cli.{_HOME[name]}")
            # A function must not hide a name of Python: the command `list` is the function `list_`.
            found = getattr(module, name, None) or getattr(module, f"{name}_")
            assert isinstance(found, click.Command)  # noqa: S101 - by `_MODULES`
            self._loaded[name] = command = found
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)
