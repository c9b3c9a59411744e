"""A project on disk: its file, its lock, and its numbered, immutable generations."""
