"""The JSON documents of `config`, as types; see `skillpm.cli.documents`."""

from typing import TypedDict

Plain = str | bool | float | list[str] | None


class SettingDocument(TypedDict):
    """The result of `config get`, and an entry of `config show`."""

    key: str
    value: Plain
    source: str


class SettingsChangeDocument(TypedDict):
    """The result of `config set` and `config unset`. `apply` is the command that applies it."""

    file: str
    values: dict[str, Plain]
    removed: list[str]
    dropped: dict[str, Plain]
    apply: str | None


class ConfigDocument(TypedDict):
    """The result of `config show`."""

    values: list[SettingDocument]
    user_file: str
