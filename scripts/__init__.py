"""Tools of maintainers, which are not installed."""
