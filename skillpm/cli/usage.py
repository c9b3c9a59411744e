"""Usage errors of click as errors of skillpm, in the same words and punctuation."""

import click

from skillpm.cli.types import ParameterError
from skillpm.errors import UsageError
from skillpm.spec.nearest import suggestion


def usage_error(problem: click.ClickException) -> UsageError:
    """Convert an error of click. The hint names a similar option, or the help of the command."""
    context = getattr(problem, "ctx", None)
    page = f"`{context.command_path} --help`" if context else None
    if isinstance(problem, click.NoSuchOption):
        hint = suggestion(problem.possibilities[0]) if problem.possibilities else page
        return UsageError(f"there is no option `{problem.option_name}`", hint=hint)
    if isinstance(problem, click.exceptions.NoSuchCommand):
        hint = suggestion(problem.possibilities[0]) if problem.possibilities else page
        return UsageError(f"there is no command `{problem.command_name}`", hint=hint)
    if isinstance(problem, click.MissingParameter) and problem.param is not None:
        kind = problem.param.param_type_name
        return UsageError(f"{kind} `{_name(problem.param)}` is missing", hint=page)
    if isinstance(problem, click.BadOptionUsage):
        needs = "takes no value" if "not take a value" in problem.message else "needs a value"
        return UsageError(f"option `{problem.option_name}` {needs}", hint=page)
    if isinstance(problem, click.BadParameter) and problem.param is not None:
        hint = problem.hint if isinstance(problem, ParameterError) else None
        return UsageError(
            f"`{_name(problem.param)}`: {_clause(problem.message)}", hint=hint or page
        )
    return UsageError(_clause(problem.format_message()), hint=page)


def _name(parameter: click.Parameter) -> str:
    """`--name` of an option, `SKILL` of an argument."""
    if isinstance(parameter, click.Argument):
        return parameter.human_readable_name.lstrip("[").partition("[")[0].rstrip("].")
    return parameter.opts[-1]


def _clause(sentence: str) -> str:
    """The text without a capital at the start and a full stop at the end."""
    starts_with_a_word = sentence[:1].isupper() and sentence[1:2].islower()
    text = sentence[:1].lower() + sentence[1:] if starts_with_a_word else sentence
    return text.removesuffix(".")
