"""What a command works with: folders, registries, clock, base model, cleanup."""
