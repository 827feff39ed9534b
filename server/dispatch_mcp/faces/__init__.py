"""What users and assistants touch: MCP server and command line."""
