"""A project on disk: the project file, the lock, and numbered, immutable generations."""
