"""How much of texts that others wrote is read."""
