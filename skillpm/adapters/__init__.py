"""Adapters as PEFT saves them: their config, the names of their tensors, and where those belong."""
