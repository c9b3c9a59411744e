"""Files that a stranger may have prepared: opened by name in a folder, links never followed."""
