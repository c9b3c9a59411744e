"""Measurements of the project's figures; each runs as `python -m benchmarks.NAME`."""

from skillpm.cli.interrupts import leave_when_interrupted

leave_when_interrupted()
