"""pytest adds this folder to the import path, so that tests in its rooms find the helpers."""
