"""Resolve a project's requirements to a lock, and check whether a lock is still valid."""
