"""The Python API. The command line is built on it, and it knows nothing of the command line."""
