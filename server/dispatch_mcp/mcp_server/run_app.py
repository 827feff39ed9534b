"""The app of a run, for hosts that show apps (the extension `io.modelcontextprotocol/ui`): where it is, and its tools.

Hosts without apps read the same answers as ever.
"""

from __future__ import annotations

from typing import Any, Final

from mcp.server.extension import Extension

ADDRESS: Final = "ui://dispatch/run.html"
MIME_TYPE: Final = "text/html;profile=mcp-app"

TOOLS: Final = frozenset({"get_trace", "dispatch", "review_council"})
"""Tools whose answers the app shows."""

TOOL_META: Final[dict[str, Any]] = {"ui": {"resourceUri": ADDRESS}, "ui/resourceUri": ADDRESS}
"""Both spellings that hosts read: that of the extension, and that of before."""

RESOURCE_META: Final[dict[str, Any]] = {
    "ui": {"csp": {"connectDomains": [], "resourceDomains": []}, "prefersBorder": True}
}
"""The app carries all that it needs and reaches nobody but its host."""


class RunApp(Extension):
    """Says that there is an app."""

    identifier = "io.modelcontextprotocol/ui"

    def settings(self) -> dict[str, Any]:
        """Returns which documents apps are."""
        return {"mimeTypes": [MIME_TYPE]}
