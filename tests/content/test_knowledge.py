"""The shipped documents: they exist, their code compiles, and they end with something to tick off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

KNOWLEDGE = Path(__file__).parents[2] / "knowledgebase"
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BACKEND = {
    "authentication",
    "configuration",
    "database",
    "endpoints",
    "overview",
    "services",
    "troubleshooting",
    "user-management",
}
PATTERNS = (
    "single",
    "parallel-investigation",
    "sequential-handoff",
    "consultation",
    "parallel-implementation",
    "phased-rollout",
)
DOCUMENTS = sorted(KNOWLEDGE.rglob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(PYTHON_BLOCK.findall(path.read_text(encoding="utf-8")))
]


def test_the_eight_backend_documents_exist() -> None:
    assert {path.stem for path in (KNOWLEDGE / "backend").glob("*.md")} == BACKEND


@pytest.mark.parametrize("name", sorted(BACKEND))
def test_a_backend_document_is_long_enough_to_help_and_short_enough_to_read(name: str) -> None:
    text = (KNOWLEDGE / "backend" / f"{name}.md").read_text(encoding="utf-8")
    assert 4_000 <= len(text) <= 10_000
    assert text.count("```") % 2 == 0


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "README.md"], ids=lambda path: path.stem)
def test_a_document_ends_with_a_checklist(path: Path) -> None:
    last = path.read_text(encoding="utf-8").rpartition("\n## ")[2]
    assert last.startswith("Checklist")
    assert last.count("- [ ] ") >= 4


@pytest.mark.parametrize("block", BLOCKS)
def test_python_in_a_document_compiles(block: str) -> None:
    compile(block, "document", "exec", dont_inherit=True)


def test_no_file_is_shown_twice() -> None:
    shown = re.findall(r"^```python\n# (\S+\.py)$", "\n".join(path.read_text() for path in DOCUMENTS), re.MULTILINE)
    assert len(shown) == len(set(shown)) > 10


def test_the_decision_matrix_names_the_six_patterns() -> None:
    text = (KNOWLEDGE / "patterns" / "decision-matrix.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\S+)$", text, re.MULTILINE) == list(PATTERNS)
    rows = re.findall(r"\| `([a-z-]+)` \|", text)
    assert rows == list(PATTERNS)


def test_the_prompt_template_has_its_four_sections_in_order() -> None:
    text = (KNOWLEDGE / "prompting" / "goal-constraints-context-output.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (GOAL|CONSTRAINTS|CONTEXT|OUTPUT)$", text, re.MULTILINE)
    assert sections == ["GOAL", "CONSTRAINTS", "CONTEXT", "OUTPUT"] * 2


def test_the_worked_example_keeps_its_facts() -> None:
    text = (KNOWLEDGE / "prompting" / "goal-constraints-context-output.md").read_text(encoding="utf-8")
    example = text.partition("## Worked example")[2]
    for fact in ("POST /api/users", "bcrypt", "200 ms", ".loki/specs/openapi.yaml"):
        assert fact in example
    assert example.partition("Why it works")[0].count("- [ ] ") == 3
