"""Runnable examples of skillpm. `python -m examples.demo` runs the whole demo."""

from skillpm.cli.interrupts import leave_when_interrupted

leave_when_interrupted()
