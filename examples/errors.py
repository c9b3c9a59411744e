"""What a reader of the demo is told in one sentence, without a traceback."""


class DemoError(Exception):
    """A step of the demo could not be taken, or did not do what it promises."""
