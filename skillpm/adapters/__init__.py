"""PEFT adapters: read them, and find the base's tensors that they change."""
