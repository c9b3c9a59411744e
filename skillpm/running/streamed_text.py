"""Text of a growing list of tokens."""

from collections.abc import Callable, Sequence

_INCOMPLETE = "\ufffd"
"""What a decoder writes for the first bytes of a character whose other bytes are missing."""
_PENDING = 8
"""Tokens that may wait for the rest of a character; a character has at most 4 bytes."""


class StreamedText:
    """Decodes tokens one after another, and passes each part of the text on when it is certain.

    A token is decoded together with those of the part before it, because decoders write a space
    before some tokens and none before others. Nothing after an end token is decoded. Costs the
    decoding of a few tokens for each token.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        ends: frozenset[int],
        on_text: Callable[[str], None],
    ) -> None:
        self._decode = decode
        self._ends = ends
        self._on_text = on_text
        self._ids: list[int] = []
        self._start = 0
        self._read = 0
        self._ended = False
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """All parts so far."""
        return "".join(self._parts)

    def add(self, token: int) -> None:
        """Take the next token."""
        self._ended = self._ended or token in self._ends
        if self._ended:
            return
        self._ids.append(token)
        part = self._unread()
        waits = not part or part.endswith(_INCOMPLETE)
        if not waits or len(self._ids) - self._read > _PENDING:
            self._pass_on(part)
            self._start, self._read = self._read, len(self._ids)

    def end(self) -> None:
        """Pass on what is left: a character that is incomplete."""
        self._pass_on(self._unread())
        self._start = self._read = len(self._ids)

    def _unread(self) -> str:
        known = self._decode(self._ids[self._start : self._read])
        return self._decode(self._ids[self._start :])[len(known) :]

    def _pass_on(self, part: str) -> None:
        if part:
            self._parts.append(part)
            self._on_text(part)
