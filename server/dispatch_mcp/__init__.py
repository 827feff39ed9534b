"""dispatch-mcp: the control plane beside any MCP host."""

__version__ = "0.1.0"
__all__ = ["__version__"]
