"""The live model beside PEFT: switching, mixed batches, memory."""
