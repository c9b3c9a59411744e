"""The messages of a chat, as chat templates and OpenAI-compatible servers take them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from skillpm.spec.fields import Document

MESSAGES_LIMIT = 64
CONTENT_LIMIT = 1 << 15
"""Characters of one message."""


class ChatMessage(Document):
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=CONTENT_LIMIT)]


def _answerable(messages: list[ChatMessage]) -> list[ChatMessage]:
    if messages[-1].role != "user" or not messages[-1].content.strip():
        raise ValueError("expected a last message with the role user and some text")
    if any(message.role == "system" for message in messages[1:]):
        raise ValueError("expected the role system in the first message only")
    return messages


Chat = Annotated[
    list[ChatMessage],
    Field(min_length=1, max_length=MESSAGES_LIMIT),
    AfterValidator(_answerable),
]
"""Messages to which a model can answer: the last is the user's, only the first may be a system
message."""


def asked(text: str) -> list[ChatMessage]:
    """The chat of a prompt that is only text."""
    return [ChatMessage(role="user", content=text)]


def to_plain(messages: list[ChatMessage]) -> list[dict[str, str]]:
    """The messages as a chat template takes them."""
    return [{"role": message.role, "content": message.content} for message in messages]
