"""Runs the command line with `python -m skillpm`."""

from skillpm.cli import main

main()
