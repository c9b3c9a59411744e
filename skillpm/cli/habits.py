"""`completion` and `doctor`: skillpm in a shell and on a machine."""

from typing import TYPE_CHECKING

import click

from skillpm.cli.output import clean, emit_json, emit_line, emit_script, say
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.upkeep_documents import CompletionDocument, DoctorRow

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

COMPLETE = "_SKILLPM_COMPLETE"
_SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(_SHELLS), help="Shell that reads the script.")
@click.pass_obj
def completion(state: State, shell: str) -> None:
    r"""Print a completion script for a shell.

    The script completes commands, options, installed skills and files.

    \b
    Examples:
      skillpm completion bash > ~/.local/share/bash-completion/completions/skillpm
      skillpm completion zsh > ~/.zfunc/_skillpm
      skillpm completion fish > ~/.config/fish/completions/skillpm.fish
    """
    completer = _completer(click.get_current_context().find_root().command, shell)
    script = completer.source_template % completer.source_vars()
    if state.json:
        document: CompletionDocument = {"shell": shell, "script": script}
        emit_json(document)
    else:
        emit_script(script)


def complete(app: click.Command, instruction: str) -> int:
    """Answer a completion request of a shell, in click's protocol (`bash_complete`)."""
    shell, _, verb = instruction.partition("_")
    if shell not in _SHELLS or verb not in ("source", "complete"):
        say(f"{COMPLETE} should be `SHELL_complete`, but is `{instruction}`")
        return 2
    completer = _completer(app, shell)
    if verb == "complete":
        emit_script(completer.complete())
    else:
        emit_script(completer.source_template % completer.source_vars())
    return 0


def _completer(app: click.Command, shell: str) -> "ShellComplete":
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click supports all of `_SHELLS`
    return kind(app, {"obj": State()}, "skillpm", COMPLETE)


@click.command(cls=Command)
@click.pass_obj
def doctor(state: State) -> None:
    r"""Check that skillpm works on this machine.

    Checks the installation, Python and its libraries, disk, project, lock, base, registries, store
    and sandbox, and prints a hint for each problem. Exit code 1 if a check fails. Files that doctor
    writes as a test are removed at once.

    \b
    Examples:
      skillpm doctor
      skillpm doctor --json
    """
    from skillpm.api.storage import diagnose

    diagnosis = diagnose(command_client(state))
    if state.json:
        rows: list[DoctorRow] = [
            {
                "check": check.name,
                "status": check.status,
                "message": check.message,
                "hint": check.hint,
            }
            for check in diagnosis.checks
        ]
        emit_json({"ok": not diagnosis.failed, "checks": rows, "sandbox": diagnosis.sandbox})
    else:
        for check in diagnosis.checks:
            emit_line(f"{check.status:<4}  {check.name:<12}  {clean(check.message)}")
            if check.hint:
                emit_line(f"{'':<20}hint: {clean(check.hint)}")
    if diagnosis.failed:
        raise click.exceptions.Exit(1)
