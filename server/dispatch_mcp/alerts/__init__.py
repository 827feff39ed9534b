"""People are told of their runs in time: a program, a webhook or the desktop says what the store keeps for them."""
