"""What the catalogue is asked and told; the one room above `db` that writes SQL."""
