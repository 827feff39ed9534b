"""How a session begins: its lines, and answers that an earlier session of the same program has given."""
