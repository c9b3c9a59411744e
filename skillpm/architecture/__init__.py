"""What an architecture says of itself: its config's keys, its tied tensors, older names."""
