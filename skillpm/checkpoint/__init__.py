"""Checkpoints on disk: read, identify, write and place model folders and safetensors files."""
