"""A run as it goes on, on a terminal."""
