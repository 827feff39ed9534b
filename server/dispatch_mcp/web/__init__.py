"""The MCP server over HTTP: tokens, what is let in, and the address it is served at."""
