from __future__ import annotations

import gzip
import json
from pathlib import Path

import command_runs
import pytest

shell = pytest.fixture(command_runs.shell)

APP = "def fetch_orders(limit):\n    return limit\n\n\ndef charge_card(card):\n    return card\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "shop").mkdir(parents=True)
    (root / "shop/orders.py").write_text(APP)
    (root / "shop/models.py").write_text("class Order:\n    limit = 3\n")
    (root / "AGENTS.md").write_text("Write short functions.\n")
    return root


def test_a_pack_is_shown_as_a_worker_would_get_it(shell: command_runs.Shell, project: Path) -> None:
    said = shell("context", "--workspace", str(project), "--need", "rules:", "fetch", "orders")
    assert "== shop/orders.py" in said.out
    assert "Write short functions." in said.out
    assert "of 5,000 tokens" in said.err


def test_a_pack_as_json_says_what_was_left_out(shell: command_runs.Shell, project: Path) -> None:
    arguments = ("--need", "symbol:Ordr", "--excludes", "database", "--json", "fetch the order limit")
    answer = shell("context", "--workspace", str(project), *arguments).json
    assert answer["unresolved"][0]["key"] == "symbol:Ordr"
    assert answer["withheld"] == ["shop/models.py"]
    assert "class Order" not in answer["text"]
    assert answer["tokens"] <= answer["budget"]


def test_a_batch_is_answered_line_by_line(shell: command_runs.Shell, project: Path, tmp_path: Path) -> None:
    rows = [["a" * 12, 100, "Mend the yearly audit", ["shop/models.py"]]]
    history = tmp_path / "history.jsonl.gz"
    history.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    cases = [
        {"id": "one", "full": "Fetch orders", "text": "no", "title": "no"},
        {"id": "two", "text": "yearly audit", "date": 200},
        {"id": "three", "title": "yearly audit", "date": 50},
        {"id": "four", "text": "yearly audit", "date": 200, "commit": "a" * 40},
        {"text": "charge", "context": ["file:shop/models.py"]},
    ]
    batch = tmp_path / "cases.jsonl"
    batch.write_text("\n".join(json.dumps(case) for case in cases) + "\n\n")
    said = shell("context", "--workspace", str(project), "--batch", str(batch), "--history", str(history))
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [answer["id"] for answer in answers] == ["one", "two", "three", "four", 5]
    assert answers[0]["ranked"][0] == "shop/orders.py"
    assert ["shop/orders.py", 1, 2] in answers[0]["pack"] or ["shop/orders.py", 1, 6] in answers[0]["pack"]
    assert [bool(answer["ranked"]) for answer in answers[1:4]] == [True, False, False]
    assert "shop/models.py" in {path for path, _, _ in answers[4]["pack"]}
    assert all(answer["files"] == answer["ranked"] and answer["snippets"] == answer["pack"] for answer in answers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", "5", "x"), "--budget is 5"),
        (("--excludes", "fronted", "x"), "'fronted'"),
        (("--batch", "{cases}", "x"), "--batch"),
        (("--batch", "{cases}"), "has no text"),
        (("--history", "{cases}", "x"), "is no history"),
        (("--workspace", "{cases}", "x"), "not an existing directory"),
        ((" ",), "no task"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(
    shell: command_runs.Shell, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text('{"id": 1}\n')
    answer = shell("context", *(argument.replace("{cases}", str(cases)) for argument in arguments))
    assert answer.code == 2
    assert said in answer.err
