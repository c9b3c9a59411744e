"""The version of skillpm."""

__version__ = "0.1.0"
