"""The knowledge document of an agent: where it lies, who wrote it, and what stands in for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.agents import catalog
from dispatch_mcp.context.documents import knowledge_documents

NAME = "knowledgebase/shops/totals.md"


@pytest.fixture
def library(tmp_path: Path) -> knowledge_documents.Library:
    return knowledge_documents.Library(tmp_path / "home")


def agent(layer: catalog.Layer, knowledge: str = NAME, **more: object) -> catalog.Agent:
    """Returns an agent of a layer; `path` is that of its file."""
    fields = {"name": "shop-expert", "description": "Knows shops", "roster": "shops", **more}
    return catalog.Agent.model_validate({**fields, "layer": layer, "knowledge": knowledge})


def of(
    library: knowledge_documents.Library, one: catalog.Agent, *others: catalog.Agent, workspace: Path | str = "/none"
) -> knowledge_documents.Knowledge:
    return library.of(one, catalog.Catalog((one, *others)), str(workspace))


def test_an_agent_without_a_document_knows_nothing_of_it(library: knowledge_documents.Library) -> None:
    assert of(library, agent("bundled", "")) == knowledge_documents.NOTHING


def test_a_shipped_document_is_an_instruction_with_an_address(library: knowledge_documents.Library) -> None:
    document, missing = of(library, agent("bundled", "knowledgebase/backend/services.md"))
    assert document is not None
    address = "the MCP resource dispatch://knowledge/backend/services"
    assert (document.is_instruction, document.address, missing) == (True, address, "")
    assert document.text.startswith("#")


def test_the_users_own_document_replaces_a_shipped_one(library: knowledge_documents.Library) -> None:
    temp_repository.write(library.home, "knowledgebase/backend/services.md", "MINE")
    document = of(library, agent("bundled", "knowledgebase/backend/services.md")).document
    assert document is not None
    assert (document.text, document.is_instruction) == ("MINE", True)


@pytest.mark.parametrize("place", ["agents/docs/shop.md", "docs/shop.md"])
def test_a_document_beside_the_users_own_agent_is_an_instruction(
    library: knowledge_documents.Library, tmp_path: Path, place: str
) -> None:
    temp_repository.write(tmp_path, place, "MINE")
    own = agent("user", "docs/shop.md", path=str(tmp_path / "agents/shop-expert.md"))
    address = f"the file {tmp_path / place}"
    expected = knowledge_documents.KnowledgeDocument("docs/shop.md", "MINE", address=address)
    assert of(library, own).document == expected
    full = agent("user", str(tmp_path / place), path=str(tmp_path / "agents/shop-expert.md"))
    assert of(library, full).document == expected._replace(name=str(tmp_path / place))


@pytest.mark.parametrize("trusted", [True, False])
def test_a_document_of_a_project_is_an_instruction_only_where_the_user_trusts_it(
    tmp_path: Path, *, trusted: bool
) -> None:
    library = knowledge_documents.Library(tmp_path / "home", lambda _workspace: trusted)
    temp_repository.write(tmp_path / "work", "docs/shop.md", "THEIRS")
    theirs = agent("project", "./docs/shop.md", path=str(tmp_path / "work/.claude/agents/shop-expert.md"))
    document = of(library, theirs, workspace=tmp_path / "work").document
    address = "the file docs/shop.md"
    assert document == knowledge_documents.KnowledgeDocument("./docs/shop.md", "THEIRS", trusted, address)


@pytest.mark.parametrize("approved", [True, False])
def test_a_document_of_a_plugin_counts_as_much_as_its_agent(
    library: knowledge_documents.Library, tmp_path: Path, *, approved: bool
) -> None:
    temp_repository.write(tmp_path, "plugin/docs/shop.md", "THEIRS")
    place = str(tmp_path / "plugin/agents/shop-expert.md")
    document = of(library, agent("plugin", "docs/shop.md", path=place, trusted=approved)).document
    assert document == knowledge_documents.KnowledgeDocument("docs/shop.md", "THEIRS", approved)


@pytest.mark.parametrize("name", ["../secret.md", "docs/link.md", ".env", "/etc/hostname", "docs", "docs/blob.md"])
def test_a_project_names_nothing_outside_of_itself(
    library: knowledge_documents.Library, tmp_path: Path, name: str
) -> None:
    temp_repository.write(tmp_path, "secret.md", "CANARY")
    temp_repository.write(tmp_path, "work/.env", "CANARY")
    temp_repository.write(tmp_path, "work/docs/blob.md", "CANARY\0")
    (tmp_path / "work/docs/link.md").symlink_to("../../secret.md")
    assert of(library, agent("project", name), workspace=tmp_path / "work") == (None, name)


def test_for_a_document_that_is_not_there_that_of_the_rosters_fallback_stands_in(
    library: knowledge_documents.Library,
) -> None:
    temp_repository.write(library.home, "knowledgebase/shops/overview.md", "OVERVIEW")
    general = agent("bundled", "knowledgebase/shops/overview.md", name="shop-general", fallback=True)
    elsewhere = agent("bundled", NAME, name="other", fallback=True, roster="others")
    document, missing = of(library, agent("bundled"), elsewhere, general)
    assert document is not None
    assert (document.name, document.text, missing) == ("knowledgebase/shops/overview.md", "OVERVIEW", NAME)
    assert of(library, agent("bundled"), elsewhere) == (None, NAME)
    assert of(library, agent("bundled", fallback=True)) == (None, NAME)
