"""Facts about architectures: keys of their configs, tied tensors, older names of tensors."""
