"""What the state directory holds, and what of it can go."""
