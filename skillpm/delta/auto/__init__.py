"""The scheme `auto`: candidates for each tensor, and an allocation of bytes among them."""
