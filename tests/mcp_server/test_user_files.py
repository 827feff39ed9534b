from __future__ import annotations

import functools
from pathlib import Path

import memory_client
import pytest
from mcp import Client, MCPError
from mcp.types import EmptyResult, Request

from dispatch_mcp import composition
from dispatch_mcp.mcp_server import server as mcp_server
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.anyio

TEMPLATE = """---
title: Mine
description: {about}
---
{text}
"""


def template(folder: Path, name: str, about: str, text: str = "Do it my way.") -> None:
    path = folder / "prompts" / f"{name}.md.j2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE.format(about=about, text=text), encoding="utf-8")


async def test_the_users_own_templates_replace_bundled_ones_and_a_workspaces_never_do(tmp_path: Path) -> None:
    home, workspace = tmp_path / "home", memory_client.repository(tmp_path / "shop")
    template(home, "handoff", "The user's own words.")
    template(home, "resume", "Broken.", "{{ nothing.of.that }")
    template(workspace, "review", "The repository's own words.")
    chosen = memory_client.settings(home, workspace)
    opened = functools.partial(composition.open_dispatcher, chosen)
    server = mcp_server.make_server(memory_client.loaders(opened), home=home)
    async with Client(server) as client:
        described = {prompt.name: prompt.description for prompt in (await client.list_prompts()).prompts}
        assert described["handoff"] == "The user's own words."
        assert described["resume"] != "Broken."
        assert described["review"] != "The repository's own words."
        [message] = (await client.get_prompt("handoff")).messages
        assert "Do it my way." in getattr(message.content, "text", "")
        [content] = (await client.read_resource("dispatch://templates/handoff")).contents
        assert "Do it my way." in getattr(content, "text", "")


@pytest.mark.promise("S10")
async def test_no_answer_holds_a_secret(tmp_path: Path) -> None:
    secret = "correct horse battery staple 42"
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    redactor = redaction.Redactor([secret])
    opened = functools.partial(composition.open_dispatcher, chosen, redactor=redactor)
    async with Client(mcp_server.make_server(memory_client.loaders(opened), redactor=redactor)) as client:
        for tool, arguments in (
            ("plan_dag", {"tasks": [{"id": "a", "do": f"log in with {secret}", "deps": [secret]}]}),
            ("get_trace", {"run_id": secret}),
            ("get_trace", {"view": secret}),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert secret not in result.model_dump_json()
            assert "[redacted:secret]" in result.model_dump_json()


@pytest.mark.promise("S10")
@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_no_error_of_the_protocol_holds_a_secret(tmp_path: Path, era: str) -> None:
    secret = "correct-horse-battery-staple-42"
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    redactor = redaction.Redactor([secret])
    opened = functools.partial(composition.open_dispatcher, chosen, redactor=redactor)
    server = mcp_server.make_server(memory_client.loaders(opened), redactor=redactor)
    async with Client(server, mode=era) as client:
        for ask in (
            functools.partial(client.get_prompt, secret),
            functools.partial(client.read_resource, f"dispatch://runs/{secret}"),
            functools.partial(client.session.send_request, Request(method=secret, params=None), EmptyResult),
        ):
            with pytest.raises(MCPError) as refusal:
                await ask()
            assert secret not in refusal.value.error.model_dump_json()
            assert "[redacted:secret]" in refusal.value.error.model_dump_json()
