"""`completion`, `config`, `doctor`: how skillpm fits into a person's shell and machine."""

from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import clean, emit_json, emit_line, emit_script, emit_table, say
from skillpm.cli.state import Command, State, command_session, global_params

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

COMPLETE = "_SKILLPM_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_obj
def completion(state: State, shell: str) -> None:
    r"""Print what makes a shell complete commands, options, skills and files.

    \b
    skillpm completion bash > ~/.local/share/bash-completion/completions/skillpm
    skillpm completion zsh > ~/.zfunc/_skillpm
    skillpm completion fish > ~/.config/fish/completions/skillpm.fish
    """
    made = _completer(click.get_current_context().find_root().command, shell)
    script = made.source_template % made.source_vars()
    if state.json:
        emit_json({"shell": shell, "script": script})
    else:
        emit_script(script)


def complete(app: click.Command, instruction: str) -> int:
    """Answer a shell that completes; click's protocol (`bash_complete`)."""
    shell, _, verb = instruction.partition("_")
    if shell not in _SHELLS or verb not in ("source", "complete"):
        say(f"{COMPLETE} should be `SHELL_complete`, is `{instruction}`")
        return 2
    made = _completer(app, shell)
    emit_script(
        made.complete() if verb == "complete" else made.source_template % made.source_vars()
    )
    return 0


def _completer(app: click.Command, shell: str) -> "ShellComplete":
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - `_SHELLS` are among click's own
    return kind(app, {"obj": State()}, "skillpm", COMPLETE)


@click.group(params=global_params())
def config() -> None:
    """See how skillpm is set up."""


@config.command("show", cls=Command)
@click.pass_obj
def config_show(state: State) -> None:
    r"""List every setting, its value, and the place that it comes from.

    Flags win over the environment, that over skillpm.toml, that over your own config.toml. The
    keys are registry, base, offline, color, workers and lock-timeout. Each is a flag
    (`--workers 4`), a variable (`SKILLPM_WORKERS=4`), and a line of config.toml or of `[config]`
    in skillpm.toml (`workers = 4`); but a project has its base in `[project]` and its registry in
    `[registries]`.

    \b
    skillpm config show
    skillpm config show --json
    """
    from skillpm.api.options import resolve, user_file

    chosen = resolve(state.options)
    if state.json:
        rows = [{"key": k, "value": _plain(c.value), "source": c.source} for k, c in chosen.items()]
        emit_json({"values": rows, "user_file": str(user_file())})
        return
    table = [(key, _shown(one.value), one.source) for key, one in chosen.items()]
    emit_table(table, ("key", "value", "source"))
    state.say("")
    state.say(f"your own file: {user_file()}")


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | bool | int | float | None) else str(value)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@click.command(cls=Command)
@click.pass_obj
def doctor(state: State) -> None:
    r"""Look for what keeps skillpm from working here: a line for each check, with what to do.

    Exit code 1 where a check fails. Nothing is changed; probes are files that go at once.

    \b
    skillpm doctor
    skillpm doctor --json
    """
    from skillpm.flows.upkeep.doctor import examine
    from skillpm.flows.upkeep.doctor_sandbox import examine_sandbox

    sandbox, report = examine_sandbox()
    checks = [*examine(command_session(state)), sandbox]
    failed = any(check.status == "fail" for check in checks)
    if state.json:
        rows = [
            {"check": c.name, "status": c.status, "message": c.message, "hint": c.hint}
            for c in checks
        ]
        layers = report.to_dict() if report else None
        emit_json({"ok": not failed, "checks": rows, "sandbox": layers})
    else:
        for check in checks:
            emit_line(f"{check.status:<4}  {check.name:<12}  {clean(check.message)}")
            if check.hint:
                emit_line(f"{'':<20}hint: {clean(check.hint)}")
    if failed:
        raise click.exceptions.Exit(1)
