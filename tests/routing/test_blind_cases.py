"""The protocol of blind cases: a batch is blind once, and what was measured stays known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "blind_cases.py"


def batch(folder: Path, name: str, *cases: Mapping[str, object]) -> Path:
    whole: dict[str, object] = {
        "roster": "default",
        "right": [],
        "lang": "en",
        "kind": "plain",
        "author": "anna",
        "batch": name,
    }
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps({**whole, **case}) for case in cases), encoding="utf-8")
    return path


def measure(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


HELM = {"text": "Write a Helm chart for the Kubernetes cluster", "right": ["eng-infra"]}


def test_a_batch_is_blind_once_and_development_afterwards(tmp_path: Path) -> None:
    batch(tmp_path, "b1", HELM)
    first = measure(tmp_path)
    assert first.stdout.startswith("BLIND: 1 requests")
    [entry] = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert (entry["file"], entry["authors"], entry["cases"]) == ("b1.jsonl", ["anna"], 1)
    assert {"sha256", "spent", "commit"} <= entry.keys()
    second = measure(tmp_path, "--look")
    assert "BLIND" not in second.stdout
    assert "DEVELOPMENT (spent): 1 requests" in second.stdout


def test_only_batches_that_nobody_used_are_blind(tmp_path: Path) -> None:
    batch(tmp_path, "b1", HELM)
    measure(tmp_path)
    batch(tmp_path, "b2", HELM, HELM)
    assert measure(tmp_path).stdout.startswith("BLIND: 2 requests")


def test_a_spent_batch_that_changed_is_refused(tmp_path: Path) -> None:
    batch(tmp_path, "b1", HELM)
    measure(tmp_path)
    batch(tmp_path, "b1", HELM, HELM)
    refusal = measure(tmp_path)
    assert refusal.returncode == 2
    assert "b1.jsonl was spent with other content" in refusal.stderr


def test_keeping_spends_nothing(tmp_path: Path) -> None:
    batch(tmp_path, "b1", HELM)
    assert measure(tmp_path, "--keep").stdout == measure(tmp_path, "--keep").stdout
    assert not (tmp_path / "ledger.jsonl").exists()


def test_a_case_without_an_author_is_no_blind_case(tmp_path: Path) -> None:
    (tmp_path / "b1.jsonl").write_text('{"text": "x", "roster": "default", "right": []}\n')
    refusal = measure(tmp_path)
    assert refusal.returncode != 0
    assert "b1.jsonl, line 1: lang, kind, author, batch missing" in refusal.stderr


def row(output: str, name: str) -> list[str]:
    [line] = [line for line in output.splitlines() if line.startswith(f"{name} ")]
    return line.removeprefix(name).split()


@pytest.mark.parametrize(
    ("right", "offered"), [(["eng-infra", "eng-frontend"], "1.000"), (["eng-infra", "biz-sales"], "1.000")]
)
def test_of_two_domains_all_that_take_part_must_be_offered(tmp_path: Path, right: list[str], offered: str) -> None:
    batch(tmp_path, "b1", {**HELM, "kind": "two", "text": "Sort out the page and the cluster", "right": right})
    assert row(measure(tmp_path).stdout, "all")[:2] == ["1", offered]


def test_an_agent_whose_roster_is_off_is_counted_apart(tmp_path: Path) -> None:
    batch(tmp_path, "b1", HELM, {"text": "A cold mail to heads of logistics", "right": ["biz-sales"], "kind": "off"})
    output = measure(tmp_path).stdout
    assert row(output, "kind off")[1] == "-"
    assert "off: roster named 1/1" in output


def test_a_roster_beside_the_batches_is_a_folder_or_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "rosters" / "pottery"
    folder.mkdir(parents=True)
    (folder / "potter.md").write_text("---\nname: potter\ndescription: Kilns and glazes.\n---\nYou fire.\n")
    agents = [{"name": "baker", "description": "Bread and ovens."}]
    (tmp_path / "rosters" / "bakery.json").write_text(json.dumps({"agents": agents}))
    cases = [("pottery", "Fire the kilns and glazes", "potter"), ("bakery", "Bread in the ovens", "baker")]
    batch(tmp_path, "b1", *({"roster": roster, "text": text, "right": [right]} for roster, text, right in cases))
    assert row(measure(tmp_path).stdout, "all")[:4] == ["2", "1.000", "1.000", "1.000"]
