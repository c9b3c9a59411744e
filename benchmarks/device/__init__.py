"""What an accelerator is worth: packing, live skills, marked tests, a layer of an 8B model."""
