"""What version of skillpm this is."""

__version__ = "0.1.0"
