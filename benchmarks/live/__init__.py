"""The live model compared with PEFT: switching, mixed batches, memory."""
