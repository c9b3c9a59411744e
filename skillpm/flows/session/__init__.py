"""What every command needs: folders, registries, the clock, the base model, cleanup."""
