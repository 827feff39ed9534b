"""`dispatch-mcp demo`: the real server, a real MCP client, a real repository, and a kill in the middle."""
