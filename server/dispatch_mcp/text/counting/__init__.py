"""How much tests check, as counts."""
