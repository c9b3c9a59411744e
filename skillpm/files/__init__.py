"""Access to files in untrusted folders: by name in an open folder, without following links."""
