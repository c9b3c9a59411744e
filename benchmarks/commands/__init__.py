"""Time and memory of commands, crash tests, and the resolver."""
