"""Change a project: plan, fetch, verify, switch to a new generation."""
