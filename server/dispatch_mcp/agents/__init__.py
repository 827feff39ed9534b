"""Agent definitions: where they are read from, what they say, and the catalogue that they make."""
