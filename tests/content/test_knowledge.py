"""The shipped documents: they exist, their code compiles, and they end with something to tick off."""

from __future__ import annotations

import ast
import contextlib
import datetime as dt
import enum
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pydantic
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


def namespace(document: str, file: str, **names: object) -> dict[str, Any]:
    """Returns what a file of a document defines; what it imports is a stand-in that takes everything."""
    text = (KNOWLEDGE / "backend" / f"{document}.md").read_text(encoding="utf-8")
    block = next(block for block in PYTHON_BLOCK.findall(text) if f"# {file}" in block)
    tree = ast.parse(block)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    values: dict[str, Any] = {
        alias.asname or alias.name: mock.MagicMock() for node in imports for alias in node.names
    } | names
    tree.body = [node for node in tree.body if node not in imports]
    exec(compile(tree, document, "exec"), values)  # our own document
    return values


class Refusal(Exception):
    """Stands for the error of the documents."""

    def __init__(self, status: int, code: str, *_more: object) -> None:
        super().__init__(code)
        self.status = status


class Routes:
    """Stands for a blueprint whose views are called as functions."""

    def __init__(self, *_names: str, **_how: str) -> None:
        pass

    def post(self, _path: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
        return lambda view: view


class Role(enum.StrEnum):
    ADMIN, MANAGER, USER = "admin", "manager", "user"


def person(number: int, role: Role, manager: int | None = None) -> types.SimpleNamespace:
    return types.SimpleNamespace(id=number, role=role, manager_id=manager, name=f"p{number}", deleted_at=None)


def service(people: dict[int, types.SimpleNamespace]) -> dict[str, Any]:
    """Returns the rules about people, with the query of who is below whom answered from a table."""

    def below(number: int) -> set[int]:
        own = {each.id for each in people.values() if each.manager_id == number}
        return own.union(*map(below, own))

    rules = namespace("user-management", "src/users/service.py", ApiError=Refusal, Role=Role)

    def find(actor: types.SimpleNamespace, number: int) -> types.SimpleNamespace:
        seen = (
            people if actor.role == Role.ADMIN else {actor.id, *(below(actor.id) if actor.role == Role.MANAGER else ())}
        )
        if number not in seen:
            raise Refusal(404, "not_found")
        return people[number]

    rules["find"] = find
    rules["db"].session.scalar.return_value = 0
    return rules


@pytest.mark.parametrize(
    ("actor", "target", "changes", "status"),
    [
        (2, 2, {"manager_id": None}, 403),
        (2, 2, {"manager_id": 3}, 403),
        (2, 3, {"manager_id": None}, 403),
        (2, 2, {"role": Role.ADMIN}, 403),
        (2, 3, {"role": Role.MANAGER}, 403),
        (2, 4, {"name": "x"}, 404),
        (3, 3, {"manager_id": None}, 403),
        (3, 2, {"name": "x"}, 404),
        (1, 1, {"role": Role.USER}, 403),
        (2, 3, {"name": "x"}, 0),
        (2, 3, {"manager_id": 2}, 0),
        (1, 3, {"manager_id": None}, 0),
        (1, 3, {"role": Role.MANAGER}, 0),
        (3, 3, {"name": "x"}, 0),
    ],
)
def test_the_rules_about_people_refuse_whoever_reaches_beyond_the_table(
    actor: int, target: int, changes: dict[str, Any], status: int
) -> None:
    people = {
        1: person(1, Role.ADMIN),
        2: person(2, Role.MANAGER, 1),
        3: person(3, Role.USER, 2),
        4: person(4, Role.USER, 1),
    }
    change = service(people)["change"]
    if status:
        with pytest.raises(Refusal) as refusal:
            change(people[actor], target, changes)
        assert refusal.value.status == status
    else:
        change(people[actor], target, changes)
        assert all(getattr(people[target], field) == value for field, value in changes.items())


@pytest.mark.parametrize("view", ["refresh", "logout"])
def test_no_other_page_can_refresh_or_end_a_session(view: str) -> None:
    guards = types.SimpleNamespace(check_csrf=mock.Mock(side_effect=Refusal(403, "csrf")))
    request = types.SimpleNamespace(cookies={"refresh_token": "t"})
    tokens = mock.MagicMock()
    views = namespace(
        "authentication",
        "src/auth/view.py",
        ApiError=Refusal,
        guards=guards,
        request=request,
        tokens=tokens,
        Blueprint=Routes,
        BaseModel=pydantic.BaseModel,
        Field=pydantic.Field,
        contextlib=contextlib,
        timedelta=dt.timedelta,
    )
    with pytest.raises(Refusal, match="csrf"):
        views[view]()
    assert not tokens.mock_calls


@pytest.mark.parametrize(
    "body",
    [None, [], 7, "x", {}, {"email": "a@b"}, {"email": ["a"], "password": "p"}, {"email": "a\0@b", "password": "p"}],
)
def test_a_sign_in_body_of_any_form_is_refused_and_never_a_crash(body: object) -> None:
    views = namespace(
        "authentication",
        "src/auth/view.py",
        ApiError=Refusal,
        request=types.SimpleNamespace(get_json=lambda: body),
        Blueprint=Routes,
        BaseModel=pydantic.BaseModel,
        Field=pydantic.Field,
        timedelta=dt.timedelta,
    )
    with pytest.raises(pydantic.ValidationError):
        views["login"]()
