"""The walk through skillpm's commands that the demo takes a reader on."""
