"""The command line. Command files import click alone; their flows load when they are called."""

from skillpm.cli.app import main

__all__ = ["main"]
