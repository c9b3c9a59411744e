"""Errors that the demo reports in one sentence, without a traceback."""


class DemoError(Exception):
    """A step of the demo failed, or did not do what it promises."""
