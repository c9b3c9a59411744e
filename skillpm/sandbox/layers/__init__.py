"""The layers of the sandbox, one file each; a system that lacks one keeps the rest."""
