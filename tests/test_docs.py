from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import command_runs
import memory_client
import pytest
import yaml

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import arguments as cli
from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.planning import plan_documents

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
sys.path.insert(0, str(REPOSITORY / "scripts"))
import moving_picture  # noqa: E402  # a script

GROUP = re.compile(r'<g class="g(\d+)"><text [^>]*>(.*?)</text>')
VISIBILITY = re.compile(r"([\d.]+)%\{visibility:(\w+)\}")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
TYPED = re.compile(r"(?:^|`)(?:\$ )?dispatch-mcp ([a-z]+)", re.MULTILINE)


def names(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_the_generated_pages_are_current() -> None:
    command = [sys.executable, str(REPOSITORY / "scripts" / "generate_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_command_that_a_page_types_exists(page: Path) -> None:
    assert set(TYPED.findall(page.read_text(encoding="utf-8"))) <= set(cli.COMMANDS)


BLOCK = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[str]:
    """Returns the code blocks of a page in some languages."""
    matches = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(body) for language, body in matches if language in languages]


def typed_lines(page: Path) -> list[str]:
    """Returns what a page types at a shell, a command a line, without the comments behind it."""
    scripts = [body.replace("\\\n", " ") for body in blocks(page, "sh")]
    scripts += [
        "\n".join(line[2:] for line in body.splitlines() if line.startswith("$ "))
        for body in blocks(page, "console", "")
    ]
    return [line for body in scripts for line in body.splitlines() if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_line_that_a_page_types_is_one_that_the_program_takes(page: Path) -> None:
    for line in typed_lines(page):
        words = shlex.split(line, comments=True)
        if words[:1] == ["dispatch-mcp"]:
            assert cli.parser().parse_args(words[1:]).command == words[1], line


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_target_that_a_page_makes_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    typed = {
        word for line in typed_lines(page) for word in re.findall(r"\bmake ([a-z][a-z-]*)", line.partition("#")[0])
    }
    assert typed <= targets | {f"bench-{path.stem}" for path in (REPOSITORY / "benchmarks").glob("*.py")}


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_document_of_tasks_that_a_page_shows_is_a_plan_and_every_setting_can_be_set(
    page: Path, tmp_path: Path
) -> None:
    for body in blocks(page, "json"):
        if '"tasks"' in body and "…" not in body and "..." not in body:
            tasks = json.loads(body).get("tasks")
            assert not isinstance(tasks, list) or not plan_documents.read_tasks(tasks).problems, body
    for body in blocks(page, "toml"):
        if set(tomllib.loads(body)) <= set(configuration.Settings.model_fields):
            (tmp_path / configuration.FILE_NAME).write_text(body, encoding="utf-8")
            configuration.load({}, flags={"home": tmp_path}, cwd=tmp_path)


LANGUAGES = {"sh", "console", "json", "toml", "yaml", "text"}
ELIDED = ("…", "...")
"""What stands in a block for what was cut; such a block is not whole."""


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_block_says_in_which_language_it_is_and_can_be_read_in_it(page: Path) -> None:
    written = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert {language for language, _ in written} <= LANGUAGES
    for body in blocks(page, "sh"):
        subprocess.run(["sh", "-n", "-c", body], check=True, timeout=120)
    for body in blocks(page, "yaml"):
        yaml.safe_load(body)
    for body in blocks(page, "json"):
        if not any(mark in body for mark in ELIDED):
            call = json.loads(body if body.startswith(("{", "[")) else f"{{{body}}}")
            assert not problems_of(call), body


EDITS = tool_arguments.schema(tool_arguments.PlanDag)["properties"]["edits"]


def problems_of(call: dict[str, Any]) -> list[str]:
    """Returns what is wrong with a task, with edits, or with the arguments of a tool; nothing for what is neither."""
    if "do" in call:
        return [problem.message for problem in plan_documents.read_tasks([call]).problems]
    edits = call.get("edits", [])
    wrong = [str(edit) for edit in edits if edit["op"] not in EDITS["items"]["properties"]["op"]["enum"]]
    kinds = [kind for kind in tool_arguments.TOOLS.values() if set(call) <= set(kind.model_fields)]
    return wrong + ([] if not kinds or any(takes(kind, call) for kind in kinds) else [str(call)])


def takes(kind: type[tool_arguments.Args], call: dict[str, Any]) -> bool:
    """Returns whether a tool takes these arguments."""
    try:
        kind.model_validate(call)
    except ValueError:
        return False
    return True


OF_CLIENTS = {"No such tool", "still connecting"}
"""Messages that Claude Code shows, and not this program."""


def test_every_message_that_the_page_of_symptoms_quotes_is_one_that_the_program_says() -> None:
    page = (REPOSITORY / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1] for row in page.splitlines() if row.startswith("| ")]
    quoted = {text for row in rows for text in re.findall(r'"([^"]+)"', row)}
    sources = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "server").rglob("*.py"))
    assert quoted
    assert [text for text in sorted(quoted - OF_CLIENTS) if text not in sources] == []


def test_the_readme_leads_to_every_page_that_helps_with_a_task_or_is_looked_up() -> None:
    targets = set(LINK.findall((REPOSITORY / "README.md").read_text(encoding="utf-8")))
    pages = [path for folder in ("how-to", "reference") for path in (REPOSITORY / "docs" / folder).glob("*.md")]
    assert [page.name for page in pages if names(page) not in targets] == []


def test_the_quickstart_works_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = REPOSITORY / "docs" / "quickstart.md"
    repo = memory_client.repository(tmp_path / "shop")
    monkeypatch.chdir(repo)
    [document] = [body for body in blocks(page, "json") if '"tasks"' in body][:1]
    (repo / "look.json").write_text(document, encoding="utf-8")
    shell = command_runs.shell(monkeypatch, capsys)
    lines = [shlex.split(line) for line in typed_lines(page)]
    typed = [words[1:] for words in lines if words[0] == "dispatch-mcp"]
    assert [words[0] for words in typed[:5]] == ["route", "plan", "run", "trace", "status"]
    for words in typed[:5]:
        answer = shell(*words)
        assert answer.code == 0, (words, answer.out, answer.err)


def test_the_readme_shows_a_recording_that_is_there_and_fits_in_a_terminal() -> None:
    text = (REPOSITORY / "docs" / "demo.txt").read_text(encoding="utf-8")
    assert "](docs/demo.svg)" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    picture = (REPOSITORY / "docs" / "demo.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert re.findall(r"https?://[^\"]+|url\(|<script|href=", picture) == ["http://www.w3.org/2000/svg"]
    assert "6 tasks were planned" in picture.replace("\xa0", " ").replace("&#160;", " ")
    assert max(map(len, text.splitlines())) <= 80
    assert "a script stands in for the models" in text


def test_a_recording_plays_what_changes_and_ends_as_its_last_frame() -> None:
    recording = moving_picture.Recording(20, "demo")
    for at_s, text in ((0.0, "moon waits"), (1.0, "moon waits"), (2.0, "moon is up"), (8.0, "it is <day>")):
        recording.keep(at_s, f"tides\n{text}")
    assert [frame.at_s for frame in recording.frames] == [0.0, 2.0, 8.0]
    picture = recording.svg()
    groups = {text: rules for rules, text in GROUP.findall(picture)}
    assert list(groups) == ["tides", "moon&#160;waits", "moon&#160;is&#160;up", "it&#160;is&#160;&lt;day&gt;"]
    seen = {
        text: VISIBILITY.findall(re.findall(rf"@keyframes k{name}{{(.*?}})}}", picture)[0])
        for text, name in groups.items()
        if text != "tides"
    }
    assert seen["moon&#160;waits"] == [("0.00", "visible"), ("10.00", "hidden")]
    assert seen["moon&#160;is&#160;up"] == [("0.00", "hidden"), ("10.00", "visible"), ("40.00", "hidden")]
    assert seen["it&#160;is&#160;&lt;day&gt;"] == [("0.00", "hidden"), ("40.00", "visible")]
    assert f".g{groups['moon&#160;is&#160;up']}{{visibility:hidden;" in picture
    assert f".g{groups['it&#160;is&#160;&lt;day&gt;']}{{visibility:visible;" in picture


def test_the_readme_names_every_tool() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [tool for tool in tool_arguments.TOOLS if f"`{tool}`" not in readme] == []


NEEDED = {
    "hook": ["Stop"],
    "run": ["file"],
    "completion": ["bash"],
    "trace": ["run"],
    "steer": ["cancel", "run"],
    "approve": ["run"],
    "apply": ["run"],
    "limit": ["run", "dollars=1"],
    "waive": ["run", "finding", "--reason", "why"],
}


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_takes_what_the_page_says_of_all(command: str) -> None:
    needed = NEEDED.get(command, [])
    common = ["--home", "a", "--workspace", "b", *([] if command == "serve" else ["--json"])]
    options = cli.parser().parse_args([command, *needed, *common])
    assert (options.command, options.home, options.workspace) == (command, "a", "b")


def test_every_kind_of_event_is_documented_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "scripts"), *sys.path])
    event_kinds = importlib.import_module("event_kinds")
    assert event_kinds.kinds() == event_kinds.MEANINGS.keys()


def test_every_argument_of_the_tools_is_documented_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "scripts"), *sys.path])
    pages = importlib.import_module("generate_docs")
    meanings = importlib.import_module("argument_meanings").MEANINGS
    silent: dict[str, set[str]] = {}
    for name, arguments in tool_arguments.TOOLS.items():
        schema = arguments.model_json_schema()
        objects = {name: schema, **{f"{name}.{key}": items for key, items in pages.nested_objects(schema)}}
        for owner, properties in {owner: one["properties"] for owner, one in objects.items()}.items():
            silent[owner] = {key for key, value in properties.items() if not value.get("description")}
    assert {owner: keys for owner, keys in silent.items() if keys} == {name: {*own} for name, own in meanings.items()}
    page = (REPOSITORY / "docs" / "reference" / "tools.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_every_setting_and_error_is_documented() -> None:
    settings = (REPOSITORY / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in configuration.Settings.model_fields if f"| `{name}` |" not in settings] == []
    page = (REPOSITORY / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert [kind.__name__ for kind in kinds if f"| `{kind.__name__}` |" not in page] == []


def test_the_index_for_models_names_every_page_and_leads_to_it() -> None:
    docs = REPOSITORY / "docs"
    places = LINK.findall((docs / "llms.txt").read_text(encoding="utf-8"))
    assert sorted(places) == sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))


def test_the_site_loads_nothing_from_elsewhere_and_fails_on_broken_links() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert "mkdocs build --clean\n" in makefile, "--quiet would hide the warnings that `strict` counts"
    assert "\n  font: false\n" in text
    assert "\nstrict: true\n" in text
    assert [word for word in ("repo_url", "extra_javascript", "extra_css", "analytics", "http:") if word in text] == []
