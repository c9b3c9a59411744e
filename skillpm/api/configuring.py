"""Settings: read each with its source, and write them to skillpm.toml or to the user's file."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from skillpm.api.callbacks import SILENT, Callbacks
from skillpm.api.options import DEFAULT_LOCK_TIMEOUT, Options, resolve, user_file
from skillpm.errors import NotFoundError, SkillpmError, UsageError
from skillpm.spec.config import Chosen

if TYPE_CHECKING:
    from skillpm.api.results import SettingsChange


def settings(options: Options) -> dict[str, Chosen]:
    """Every setting with its value and its source; `[graft]` only in a project that can be read.

    Raises the errors of `resolve`.
    """
    chosen = resolve(options)
    with suppress(SkillpmError):
        chosen |= _graft_settings(options)
    return chosen


def setting(options: Options, key: str) -> Chosen:
    """One setting with its value and its source.

    Raises `UsageError` for an unknown key, the errors of `resolve`, and for a setting of `[graft]`
    those of reading skillpm.toml.
    """
    from skillpm.spec.settings import GRAFT_KEYS, check_key

    check_key(key, user=key not in GRAFT_KEYS)
    if key not in GRAFT_KEYS:
        return resolve(options)[key]
    known = _graft_settings(options)
    if key not in known:
        method = known["graft.method"].value
        raise UsageError(
            f"`{method}` has no setting `{key.removeprefix('graft.')}`",
            hint="`skillpm config show` lists the settings of this project",
        )
    return known[key]


def set_settings(
    options: Options,
    values: Mapping[str, str],
    *,
    user: bool = False,
    callbacks: Callbacks = SILENT,
) -> "SettingsChange":
    """Write settings, given as text, to skillpm.toml, or with `user` to the user's file.

    All values are written, or none. Comments stay. Raises `UsageError` for an unknown key or a bad
    value, and the errors of `configure_project` and `configure_user`.
    """
    from skillpm.spec.settings import check_key, read_value

    parsed = {check_key(key, user=user): read_value(key, text) for key, text in values.items()}
    return _write(options, parsed, (), user=user, callbacks=callbacks)


def unset_settings(
    options: Options, keys: Sequence[str], *, user: bool = False, callbacks: Callbacks = SILENT
) -> "SettingsChange":
    """Remove settings from skillpm.toml, or with `user` from the user's file; see `set_settings`.

    A setting that is not in the file is ignored.
    """
    from skillpm.spec.settings import check_key

    checked = [check_key(key, user=user) for key in keys]
    return _write(options, {}, checked, user=user, callbacks=callbacks)


def _write(
    options: Options,
    values: Mapping[str, Any],
    removed: Sequence[str],
    *,
    user: bool,
    callbacks: Callbacks,
) -> "SettingsChange":
    from skillpm.flows.change.configure import SettingsLock, configure_project, configure_user

    command = " ".join(["config", "set" if values else "unset", *(values or removed)])
    lock = SettingsLock(command, _lock_timeout(options), callbacks.say, options.home_folder)
    if user:
        return configure_user(user_file(), values, removed, lock)
    try:
        return configure_project(options.project_folder, values, removed, lock)
    except NotFoundError as problem:
        problem.hint = (
            "`skillpm init --base ./model` creates a project; `--user` writes your own file"
        )
        raise


def _lock_timeout(options: Options) -> float:
    """The longest wait for the lock of a file, in seconds; the default if a file is invalid.

    `config set` must be able to correct an invalid file.
    """
    if options.lock_timeout is not None:
        return options.lock_timeout
    try:
        return float(str(resolve(options)["lock-timeout"].value))
    except SkillpmError:
        return DEFAULT_LOCK_TIMEOUT


def _graft_settings(options: Options) -> dict[str, Chosen]:
    """Mode, method, the method's settings and the precedence, as skillpm.toml has them.

    Raises `NotFoundError` outside a project, `SpecError` for an invalid skillpm.toml.
    """
    from skillpm.environment.project import ProjectFolder

    project = ProjectFolder(options.project_folder)
    graft = project.read_file().graft
    order = ",".join(map(str, graft.precedence)) or None
    values = {"mode": graft.mode, "method": graft.method, **graft.merging.all_settings}
    written = {*graft.model_fields_set, *graft.settings}
    sources = dict.fromkeys(written, f"{project.file}: [graft]")
    return {
        f"graft.{name}": Chosen(value, sources.get(name, "default"))
        for name, value in {**values, "precedence": order}.items()
    }
