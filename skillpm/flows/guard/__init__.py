"""Refuse a change after which a probe fails, and name the skills responsible."""
