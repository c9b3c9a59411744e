"""The version of skillpm."""

__version__ = "0.2.0"
