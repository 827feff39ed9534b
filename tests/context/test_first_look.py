"""Before a large workspace is read, the files that a task probably needs are found by their names and texts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dispatch_mcp.context import context_query, git_log
from dispatch_mcp.context.indexing import first_look

FILES = {
    "shop/invoices.py": "def total(lines):\n    return sum(line.price for line in lines)\n",
    "shop/cart.py": "class Basket:\n    voucher = 1\n\n    def accept(self, voucher):\n        self.v = voucher\n",
    "shop/mail.py": "def send(text):\n    return text\n",
    "tests/test_cart.py": "def test_voucher():\n    assert voucher\n",
    "README.md": "A shop with a voucher.\n",
}


@pytest.fixture(params=["git", "plain"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    if request.param == "git":
        subprocess.run(["git", "init", "-q", root], check=True)
    return root


def look(root: Path, text: str, votes: dict[str, float] | None = None) -> list[str]:
    query = context_query.read(text)
    return [*first_look.likeliest(query, FILES.keys(), lambda: first_look.in_texts(root, query), votes or {})]


def test_a_file_that_holds_a_rare_word_of_the_task_comes_first_and_source_before_its_tests(shop: Path) -> None:
    assert look(shop, "Refuse a voucher that has expired")[:2] == ["shop/cart.py", "tests/test_cart.py"]


def test_a_word_in_the_name_of_a_file_finds_it(shop: Path) -> None:
    assert look(shop, "Round each invoice")[0] == "shop/invoices.py"


def test_what_past_commits_with_alike_subjects_touched_comes_early(shop: Path) -> None:
    assert look(shop, "Xyzzy", {"shop/mail.py": 1.0}) == ["shop/mail.py"]


def test_nothing_is_found_for_words_that_stand_nowhere(shop: Path) -> None:
    assert look(shop, "Xyzzy plugh") == look(shop, "") == []


def test_files_that_are_not_of_the_workspace_are_not_named(shop: Path) -> None:
    (shop / "notes.txt").write_text("voucher voucher\n")
    assert "notes.txt" not in look(shop, "Refuse a voucher")


def test_words_are_counted_in_lower_case_and_an_option_is_no_word(shop: Path) -> None:
    counts = git_log.occurrences(shop, ["voucher", "--help", "BASKET"], 60)
    assert counts["shop/cart.py", "voucher"] == 3
    assert counts["shop/cart.py", "basket"] == 1
    assert git_log.occurrences(shop, [], 60) == {}
    assert git_log.occurrences(shop / "none", ["a"], 60) == {}
