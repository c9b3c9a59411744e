"""From what a project asks for to a lock, and whether a lock is still valid."""
