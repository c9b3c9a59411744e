"""The figures that the project promises, each by a command: `python -m benchmarks.NAME`."""

from skillpm.cli.interrupts import leave_when_interrupted

leave_when_interrupted()
