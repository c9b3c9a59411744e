"""Answer questions and change nothing: identify, list, outdated, verify."""
