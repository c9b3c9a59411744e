"""`run` on a terminal: questions and answers until Ctrl-D."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.options import color_of
from skillpm.cli.answer_comparison import show_comparison
from skillpm.cli.answering import (
    AUTO,
    BASE,
    RunOptions,
    parse_answerer,
    print_answer,
    say_choice,
    say_limits,
)
from skillpm.cli.nudges import nudged
from skillpm.cli.output import ask_line, clean, emit_line, emit_lines, report
from skillpm.cli.state import State
from skillpm.errors import SkillpmError, UnknownSkillError, UsageError
from skillpm.files.ownership import is_owner_only
from skillpm.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from skillpm.api.answers import Answer, AnsweringProject, Turn

_PROMPT, _MORE, _QUOTES = ">>> ", "... ", '"""'
_ENDS = frozenset({"/bye", "/exit", "/quit"})
_HISTORY = "run-history"
_REMEMBERED = 1000
_HELP = """\
/skill NAME      answer with this skill; /skill base: with the base; /skill auto: the router chooses
/skill           show what answers, and the installed skills
/compare TEXT    show the answers of the base and of each skill
/system TEXT     set the system message; /system alone removes it
/clear           forget the conversation so far
/bye             end, like Ctrl-D

\"\"\" starts and ends a text of several lines. Ctrl-C stops an answer."""


class Conversation:
    """Questions of the terminal, and the answers of the base and its skills.

    With a chat template, the model reads the conversation so far. A skill that answers reads what
    other skills answered.
    """

    def __init__(self, state: State, answering: "AnsweringProject", options: RunOptions) -> None:
        self._state = state
        self._answering = answering
        self._options = options
        self._skill = options.skills[0] if options.skills else AUTO
        self._system = options.system
        self._turns: list[Turn] = []
        self._commands: Mapping[str, Callable[[str], None]] = {
            "skill": self._choose,
            "compare": self._compare,
            "system": self._instruct,
            "clear": self._clear,
            "help": self._help,
            "?": self._help,
        }

    def hold(self) -> None:
        """Ask and answer until Ctrl-D or `/bye`. Ctrl-C stops the present answer."""
        self._greet()
        with nudged(), _line_history(self._state.options.home_folder / _HISTORY):
            while not self._state.terminated:
                try:
                    text = self._ask()
                except EOFError:
                    emit_line()
                    return
                if text in _ENDS:
                    return
                with self._interruptible("stopped"):
                    self._handle(text)
            # Python drops an interrupt that it handles in a destructor or a callback.
            raise KeyboardInterrupt

    def _ask(self) -> str:
        """The next text; empty after Ctrl-C or an error. Raises `EOFError` at Ctrl-D."""
        with self._interruptible("Ctrl-D or /bye ends"):
            try:
                return _read_text()
            except UsageError as problem:
                self._report(problem)
        return ""

    @contextmanager
    def _interruptible(self, note: str) -> Iterator[None]:
        """End the block at Ctrl-C, with a note. SIGTERM ends the command as always."""
        try:
            yield
        except KeyboardInterrupt:
            if self._state.terminated:
                raise
            self._state.interrupted = False
            emit_line()
            self._state.say(note)

    def _greet(self) -> None:
        if not self._answering.has_template:
            self._state.say("note: the base has no chat template: each text is continued alone")
        skills = ", ".join(map(clean, self._answering.skills)) or "none"
        self._state.say(f"skills: {skills}; /help lists the commands, Ctrl-D ends")

    def _handle(self, text: str) -> None:
        try:
            if text.startswith("/"):
                self._command(text[1:])
            elif text.strip():
                self._answer(text)
        except SkillpmError as problem:
            self._report(problem)

    def _report(self, problem: SkillpmError) -> None:
        report(problem, as_json=False, color=color_of(self._state.options))

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        command = self._commands.get(name)
        if command is None:
            known = (f"/{known}" for known in (*self._commands, "bye"))
            hint = did_you_mean(f"/{name[:20]}", known, otherwise="/help lists the commands")
            raise UsageError(f"there is no command `/{name[:80]}`", hint=hint)
        command(rest.strip())

    def _answer(self, text: str) -> None:
        from skillpm.api.answers import chat_of

        turns = chat_of([*self._turns, {"role": "user", "content": text}], self._system)
        choice = self._answering.choose(turns, self._skill)
        say_choice(self._state, self._answering, choice)
        parts: list[str] = []

        def generate(emit: Callable[[str], None] | None) -> "Answer":
            def keep(part: str) -> None:
                parts.append(part)
                if emit is not None:
                    emit(part)

            return self._answering.answer(turns, choice, self._options.settings, keep)

        try:
            answer = print_answer(self._options, generate)
        finally:
            self._remember(text, "".join(parts))
        say_limits(self._state, answer, self._options)
        del self._turns[: answer.dropped]

    def _remember(self, question: str, answer: str) -> None:
        """Keep a question and what was answered until an interrupt, if anything was."""
        if answer and self._answering.has_template:
            self._turns.append({"role": "user", "content": question})
            self._turns.append({"role": "assistant", "content": answer})

    def _choose(self, name: str) -> None:
        if name:
            skill = parse_answerer(name)
            if skill not in (AUTO, None, *self._answering.skills, *self._answering.refused):
                hint = did_you_mean(
                    name, self._answering.skills, otherwise="/skill lists the skills"
                )
                raise UnknownSkillError(f"`{skill}` is not installed", hint=hint)
            self._skill = skill
        answers = "the router's choice" if self._skill == AUTO else clean(self._skill or BASE)
        emit_line(f"answers: {answers}")
        for skill in () if name else self._answering.skills:
            emit_line(f"  {clean(skill)}")

    def _compare(self, text: str) -> None:
        from skillpm.api.answers import chat_of

        turns = chat_of([*self._turns, {"role": "user", "content": text}], self._system)
        options = RunOptions((), self._options.settings, self._system, self._options.stream)
        show_comparison(self._state, self._answering, options, turns)

    def _instruct(self, text: str) -> None:
        self._system = text or None
        emit_line("the system message is set" if text else "there is no system message")

    def _clear(self, _rest: str) -> None:
        self._turns.clear()
        emit_line("the conversation starts again")

    def _help(self, _rest: str) -> None:
        emit_lines(_HELP)


def _read_text() -> str:
    """One line, or the lines between two `\"\"\"`. Raises `EOFError` at Ctrl-D."""
    line = ask_line(_PROMPT)
    if not line.startswith(_QUOTES):
        return line.strip()
    lines = [line.removeprefix(_QUOTES)]
    while not lines[-1].endswith(_QUOTES):
        lines.append(ask_line(_MORE))
    lines[-1] = lines[-1].removesuffix(_QUOTES)
    return "\n".join(lines).strip("\n")


@contextmanager
def _line_history(path: Path) -> Iterator[None]:
    """Line editing with the questions of earlier conversations, if Python has `readline`.

    The file is only for its owner. Nothing is kept in a home that others can write: they could put
    a link in its place.
    """
    try:
        import readline
    except ImportError:
        yield
        return
    if not is_owner_only(path):
        yield
        return
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(_REMEMBERED)
    try:
        yield
    finally:
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(path)
