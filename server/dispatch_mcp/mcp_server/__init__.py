"""The MCP server: what assistants use."""
