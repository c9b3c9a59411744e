"""`python -m skillpm`."""

from skillpm.cli import main

main()
