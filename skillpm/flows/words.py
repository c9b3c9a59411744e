"""Words of messages."""


def counted(count: int, noun: str) -> str:
    """So many of what a regular noun names: `1 skill`, `2 skills`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
