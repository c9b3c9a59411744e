"""skillpm: the package manager for model skills."""

__version__ = "0.1.0"
