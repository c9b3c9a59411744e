"""The tokens of a chat for a model that answers, within what the model can read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillpm.errors import GraftError, capped
from skillpm.running.chat import chat_ids
from skillpm.running.generation import longest_input
from skillpm.running.runner import Runner
from skillpm.running.untrusted_files import SandboxedTokenizer, UntrustedModelFiles
from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.spec.words import counted

SECONDS = 60.0
"""The longest time for the template and the tokens of one question."""
_SHOWN = 200
Turn = Mapping[str, str]
"""A message of a chat: `role` and `content`."""


@dataclass(frozen=True)
class ChatPrompt:
    """The tokens that a model reads, and the most tokens of its answer.

    `dropped` counts the oldest messages of the chat that the model does not read.
    """

    ids: list[int]
    most: int
    dropped: int


class ChatEncoder:
    """Makes prompts of chats for a loaded model.

    A chat template is a program, so the sandbox renders it (ADR 56). Without a template, the last
    message alone is the prompt.
    """

    def __init__(self, runner: Runner, folder: Path) -> None:
        self._runner = runner
        self._folder = folder
        self._files = UntrustedModelFiles()
        self._sandboxed: SandboxedTokenizer | None = None
        self._is_pair = bool(getattr(runner.model.config, "is_encoder_decoder", False))

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(getattr(self._runner.tokenizer, "chat_template", None))

    def encode(self, turns: Sequence[Turn], most: int) -> ChatPrompt:
        """The prompt of a chat whose last message is the user's, for `most` tokens of an answer.

        The oldest messages are dropped until prompt and answer fit into the model's window. Raises
        `GraftError` if the last message alone does not fit, or the template refuses the chat.
        """
        longest = longest_input(self._runner)
        reserved = 0 if self._is_pair else min(most, longest // 2)
        kept = list(turns)
        ids = self._ids(kept)
        while len(ids) > longest - reserved and len(kept) > 1 + _systems(kept):
            del kept[_systems(kept)]
            while kept[_systems(kept)]["role"] != "user":  # a chat starts with the user
                del kept[_systems(kept)]
            ids = self._ids(kept)
        room = longest if self._is_pair else longest - 1
        if not 0 < len(ids) <= room:
            raise _unreadable(len(ids), room)
        left = most if self._is_pair else min(most, longest - len(ids))
        return ChatPrompt(ids, left, len(turns) - len(kept))

    def _ids(self, turns: Sequence[Turn]) -> list[int]:
        if not self.has_template:
            if _systems(turns):
                raise GraftError(
                    f"`{self._folder}` has no chat template, so it takes no system message",
                    hint="leave out `--system`; in a conversation, type `/system` alone",
                )
            return chat_ids(self._runner.tokenizer, turns[-1:], complete=self._is_pair)
        sandboxed, self._sandboxed = self._sandboxed, None  # an interrupt leaves no half session
        try:
            if sandboxed is None:
                self._files = UntrustedModelFiles()
                sandboxed = self._files.tokenizer(self._folder)
            sandboxed.allow(SECONDS)
            ids = sandboxed.chat_ids(turns)
        except ForeignWorkError as problem:
            raise _refused(problem, turns) from problem
        self._sandboxed = sandboxed
        return ids


def _systems(turns: Sequence[Turn]) -> int:
    """1 if a chat begins with a system message, else 0."""
    return int(turns[0]["role"] == "system")


def _refused(problem: ForeignWorkError, turns: Sequence[Turn]) -> GraftError:
    """The error for a template that fails. A reason with a text of the chat is not shown."""
    reason = capped(str(problem), _SHOWN)
    shown = "" if any(turn["content"] in str(problem) for turn in turns) else f": {reason}"
    if problem.kind is FailureKind.REFUSED and _systems(turns):
        hint = "many templates know no system message: leave out `--system`"
    else:
        hint = "`skillpm doctor` checks the sandbox, in which the template runs"
    return GraftError(f"the chat template of the base cannot be used{shown}", hint=hint)


def _unreadable(found: int, room: int) -> GraftError:
    if not found:
        return GraftError(
            "the tokenizer of the base makes no tokens of the text",
            hint="ask with another text, or add the tokenizer's files to the base",
        )
    return GraftError(
        f"the text has {counted(found, 'token')}; the base reads at most {room}",
        hint="ask with a shorter text",
    )
