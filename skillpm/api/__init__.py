"""The Python API. The command line is built on it; the API does not import the command line."""
