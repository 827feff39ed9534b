"""What runs that are over, or were, mean for later ones."""
