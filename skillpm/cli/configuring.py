"""`config`: show, read and write settings."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from skillpm.api.callbacks import Callbacks
from skillpm.cli.output import clean, emit_json, emit_line, emit_table
from skillpm.cli.setting_documents import (
    ConfigDocument,
    Plain,
    SettingDocument,
    SettingsChangeDocument,
)
from skillpm.cli.state import Command, State, global_params
from skillpm.errors import UsageError
from skillpm.files.shown import shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from skillpm.api.results import SettingsChange
    from skillpm.spec.config import Chosen


class KeyParam(click.ParamType[str]):
    """The key of a setting; shells complete it."""

    name = "KEY"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The keys that start with `incomplete`."""
        from click.shell_completion import CompletionItem

        from skillpm.spec.settings import ALL_KEYS

        del ctx, param
        return [CompletionItem(key) for key in ALL_KEYS if key.startswith(incomplete)]


KEY = KeyParam()
USER = click.option(
    "--user", is_flag=True, help="Edit your own configuration file instead of skillpm.toml."
)


@click.group(params=global_params())
def config() -> None:
    """Show and change settings."""


@config.command("show", cls=Command)
@click.pass_obj
def config_show(state: State) -> None:
    r"""List each setting with its value and its source.

    The settings are registry, base, offline, color, workers, lock-timeout and allow-keys, and in a
    project those of [graft]. skillpm uses the first value that it finds:

    \b
    1. option        --workers 4
    2. variable      SKILLPM_WORKERS=4
    3. skillpm.toml  workers = 4 in [config]; a project's base is in [project]
                     and its registry in [registries]
    4. config.toml   workers = 4 in the user's configuration file

    \b
    Examples:
      skillpm config show
      skillpm config show --json
    """
    from skillpm.api.configuring import settings
    from skillpm.api.options import user_file

    chosen = settings(state.options)
    if state.json:
        rows = [_document(key, setting) for key, setting in chosen.items()]
        document: ConfigDocument = {"values": rows, "user_file": str(user_file())}
        emit_json(document)
        return
    table = [(key, _cell(setting.value) or "-", setting.source) for key, setting in chosen.items()]
    emit_table(table, ("key", "value", "source"))
    state.say("")
    state.say(f"user configuration: {user_file()}")


@config.command("get", cls=Command)
@click.argument("key", metavar="KEY", type=KEY, help="Setting, such as `graft.method`.")
@click.pass_obj
def config_get(state: State, key: str) -> None:
    r"""Print the value of a setting.

    Prints the value that is in effect; `config show` names its source. The line is empty if the
    setting has no value.

    \b
    Examples:
      skillpm config get graft.method
      skillpm config get workers --json
    """
    from skillpm.api.configuring import setting

    chosen = setting(state.options, key)
    if state.json:
        emit_json(_document(key, chosen))
    else:
        emit_line(_cell(chosen.value))


@config.command("set", cls=Command)
@click.argument(
    "pairs",
    metavar="KEY VALUE [KEY VALUE]...",
    type=KEY,
    nargs=-1,
    required=True,
    help="Settings and their values, such as `graft.method ties`.",
)
@USER
@click.pass_obj
def config_set(state: State, pairs: tuple[str, ...], *, user: bool) -> None:
    r"""Write settings to skillpm.toml.

    Comments are kept. The file is checked before it is written; either all values are written or
    none. Settings of [graft] take effect at the next `skillpm install`, all others immediately.
    Setting another graft.method removes the settings of the previous method.

    \b
    Examples:
      skillpm config set graft.method ties graft.density 0.3
      skillpm config set graft.mode routed
      skillpm config set workers 8 --user
    """
    from skillpm.api.configuring import set_settings

    values = _pairs(pairs)
    change = set_settings(state.options, values, user=user, callbacks=Callbacks(state.say))
    _show(state, change)
    _note_overrides(state, change)


@config.command("unset", cls=Command)
@click.argument(
    "keys", metavar="KEY...", type=KEY, nargs=-1, required=True, help="Settings to remove."
)
@USER
@click.pass_obj
def config_unset(state: State, keys: tuple[str, ...], *, user: bool) -> None:
    r"""Remove settings from skillpm.toml.

    Each setting falls back to its next source, or to its default; `config show` lists the sources.

    \b
    Examples:
      skillpm config unset graft.method
      skillpm config unset workers --user
    """
    from skillpm.api.configuring import unset_settings

    change = unset_settings(state.options, keys, user=user, callbacks=Callbacks(state.say))
    _show(state, change)
    for key in keys:
        if key not in change.removed:
            state.say(f"`{key}` is not set in {clean(shown(change.file))}")


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    """Keys and values. Raises `UsageError` for a key without a value, or given twice."""
    if len(words) % 2:
        raise UsageError(
            f"`{words[-1]}` has no value; expected KEY VALUE",
            hint=f"`skillpm config set {words[-1]} VALUE`, or `skillpm config get {words[-1]}`",
        )
    keys, values = words[::2], words[1::2]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"`{key}` is given twice", hint="leave out one of its values")
    return dict(zip(keys, values, strict=True))


def _show(state: State, change: "SettingsChange") -> None:
    apply = "skillpm install" if change.stale and _touches_graft(change) else None
    if state.json:
        document: SettingsChangeDocument = {
            "file": str(change.file),
            "values": _plain_values(change.values),
            "removed": list(change.removed),
            "dropped": _plain_values(change.dropped),
            "apply": apply,
        }
        emit_json(document)
        return
    for key, value in change.values.items():
        emit_line(f"{key} = {_cell(value)}")
    for key in change.removed:
        emit_line(f"{key} removed")
    for key, value in change.dropped.items():
        state.say(f"note: removed `{key}` = {_cell(value)}, a setting of the method before")
    if change.values or change.removed:
        then = f"; `{apply}` applies the change" if apply else ""
        state.say(f"wrote {clean(shown(change.file))}{then}")
    for note in change.notes:
        state.say(note)


def _touches_graft(change: "SettingsChange") -> bool:
    return any(key.startswith("graft.") for key in (*change.values, *change.removed))


def _note_overrides(state: State, change: "SettingsChange") -> None:
    """Note each new value that an option, a variable or the project overrides."""
    from skillpm.api.configuring import settings

    for key, chosen in settings(state.options).items():
        if key in change.values and not chosen.source.startswith(str(change.file)):
            state.say(f"note: `{key}` is {_cell(chosen.value)} here, from {chosen.source}")


def _document(key: str, chosen: "Chosen") -> SettingDocument:
    return {"key": key, "value": _plain(chosen.value), "source": chosen.source}


def _plain_values(values: Mapping[str, Any]) -> dict[str, Plain]:
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: object) -> Plain:
    if isinstance(value, list):
        return list(map(str, value))
    return value if isinstance(value, bool | int | float | None) else _public(str(value))


def _public(text: str) -> str:
    from skillpm.spec.location import redact_urls

    return redact_urls(text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else _public(str(value))
