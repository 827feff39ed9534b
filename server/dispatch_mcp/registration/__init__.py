"""Registering this server in clients: where each keeps its servers, how an entry looks, and whether it starts."""
