"""The sequence of skillpm commands that the demo runs."""
