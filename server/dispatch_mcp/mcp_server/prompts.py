"""MCP prompts: every bundled template as a slash command."""

from __future__ import annotations

import logging
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts.base import Prompt, PromptArgument, UserMessage

from dispatch_mcp.agents import bundled_files, templates
from dispatch_mcp.mcp_server import lazy

log = logging.getLogger(__name__)

HIDDEN = frozenset({"dispatch-task-example"})
"""Templates that are only read: resources, no commands."""


def register(server: MCPServer[lazy.Opening], home: Path | None = None) -> None:
    """Adds one prompt for each template; those below `home` replace bundled ones."""
    usable, problems = bundled_files.all_templates(home)
    for problem in problems:
        log.warning("%s The bundled template stands in.", problem)
    for name, template in usable.items():
        if name not in HIDDEN:
            server.add_prompt(prompt(template))


def prompt(template: templates.Template) -> Prompt:
    """Returns the prompt of a template; its arguments are the template's."""

    async def render(**values: str) -> UserMessage:
        return UserMessage(templates.render(template, values))

    return Prompt(
        name=template.name,
        title=template.title,
        description=template.description,
        arguments=[
            PromptArgument(name=argument.name, description=argument.description, required=argument.required)
            for argument in template.arguments
        ],
        fn=render,
        context_kwarg=None,
    )
