"""Checkpoints on disk: model folders and safetensors files, read by bytes, told by content."""
