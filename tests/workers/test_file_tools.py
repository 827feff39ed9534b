from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from dispatch_mcp import model, worker_setup
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.workers import file_tools

pytestmark = pytest.mark.anyio

EVERYTHING = ("Read", "Glob", "Grep", "Edit", "Write")
ACCESS = worker_setup.file_access()
FILES = {
    "README.md": "Read me.\n",
    "src/app.py": "import os\n\n\ndef start():\n    return 'Started'\n",
    "src/deep/util.py": "def start_again():\n    pass\n",
    "web/app.ts": "export const start = 1;\n",
    ".env": "API_KEY=hunter2hunter2",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (tmp_path / "outside.txt").write_text("not yours\n")
    (folder / "link").symlink_to(tmp_path / "outside.txt")
    return folder


def toolbox(root: Path, *rights: str, files: tuple[str, ...] = ()) -> file_tools.Toolbox:
    task = model.Task(id="t", do="do it", files=files)
    work = work_order.WorkOrder("run", task, 1, WorkerKind.API, workspace=str(root))
    return file_tools.Toolbox.of(work, rights or EVERYTHING, ACCESS)


async def use(tools: file_tools.Toolbox, name: str, **arguments: Any) -> tuple[str, bool]:
    with anyio.fail_after(120):
        return await tools.use(name, arguments)


@pytest.mark.parametrize(
    ("rights", "names"),
    [
        (("Read",), {"read_file"}),
        (("Glob", "Grep"), {"list_files", "search_files"}),
        (("Edit",), {"edit_file"}),
        (("Write",), {"write_file", "delete_file"}),
        ((), set[str]()),
        (("Bash",), set[str]()),
    ],
)
async def test_rights_decide_which_tools_there_are_and_no_other_can_be_used(
    root: Path, rights: tuple[str, ...], names: set[str]
) -> None:
    tools = file_tools.Toolbox(root, rights, ACCESS)
    assert {tool["name"] for tool in tools.definitions()} == names
    for name in {"read_file", "write_file", "delete_file", "edit_file", "list_files", "search_files", "bash"} - names:
        text, success = await tools.use(name, {"path": "README.md", "text": "x"})
        assert not success
        assert f"There is no tool {name!r} here" in text


async def test_definitions_are_strict_schemas(root: Path) -> None:
    for tool in toolbox(root).definitions():
        schema: Any = tool["input_schema"]
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) <= set(schema["properties"])
        assert all(
            each["type"] in {"string", "integer"} and each["description"] for each in schema["properties"].values()
        )


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        ("", ["README.md", "src/app.py", "src/deep/util.py", "web/app.ts"]),
        ("**/*", ["README.md", "src/app.py", "src/deep/util.py", "web/app.ts"]),
        ("*.py", ["src/app.py", "src/deep/util.py"]),
        ("src/**/*.py", ["src/app.py", "src/deep/util.py"]),
        ("./src/*.py", ["src/app.py"]),
        ("**/app.*", ["src/app.py", "web/app.ts"]),
        ("*.{ts,md}", ["README.md", "web/app.ts"]),
    ],
)
async def test_files_are_listed_by_globs_without_secrets(root: Path, glob: str, paths: list[str]) -> None:
    text, success = await use(toolbox(root), "list_files", **({"glob": glob} if glob else {}))
    assert success
    assert [path for path in text.splitlines() if path != "link"] == paths


async def test_a_list_that_finds_nothing_or_too_much_says_so(root: Path) -> None:
    assert await use(toolbox(root), "list_files", glob="*.rs") == ("No file matches.", True)
    many = file_tools.FileAccess(lambda _root: [f"f{number:04}" for number in range(500)], ACCESS.text)
    text, _ = await use(file_tools.Toolbox(root, EVERYTHING, many), "list_files")
    assert len(text.splitlines()) == file_tools.MAX_LISTED + 1
    assert text.endswith(f"… and {500 - file_tools.MAX_LISTED} more; narrow the glob")


async def test_a_search_names_file_and_line_whatever_the_case(root: Path) -> None:
    text, success = await use(toolbox(root), "search_files", text="START")
    assert success
    assert text.splitlines() == [
        "src/app.py:4: def start():",
        "src/app.py:5: return 'Started'",
        "src/deep/util.py:1: def start_again():",
        "web/app.ts:1: export const start = 1;",
    ]
    text, _ = await use(toolbox(root), "search_files", text="start", glob="*.ts")
    assert text == "web/app.ts:1: export const start = 1;"


async def test_a_search_never_shows_secrets_and_is_bounded(root: Path) -> None:
    assert await use(toolbox(root), "search_files", text="hunter2") == ("Nothing was found.", True)
    assert await use(toolbox(root), "search_files", text="") == ("Nothing was found.", True)
    (root / "many.txt").write_text("needle\n" * 500)
    text, _ = await use(toolbox(root), "search_files", text="needle")
    assert text.count("needle") == file_tools.MAX_FOUND
    assert text.endswith("narrow the search")


async def test_a_file_is_read_with_line_numbers_and_in_parts(root: Path) -> None:
    whole, _ = await use(toolbox(root), "read_file", path="src/app.py")
    assert whole.splitlines()[0] == "1\timport os"
    part, _ = await use(toolbox(root), "read_file", path=f"{root}/src/app.py", first_line=4, last_line=4)
    assert part == "4\tdef start():"
    beyond, _ = await use(toolbox(root), "read_file", path="./src/app.py", first_line=99)
    assert beyond == "The file has 5 lines."


@pytest.mark.promise("S4")
@pytest.mark.parametrize(
    "path", ["../outside.txt", "/etc/passwd", "link", ".env", "src/../../outside.txt", "", "src", "\0", "~/.ssh/id_rsa"]
)
async def test_nothing_outside_and_no_secret_is_read_or_written(root: Path, path: str) -> None:
    for name, more in (
        ("read_file", {}),
        ("write_file", {"text": "x"}),
        ("edit_file", {"old": "a", "new": "b"}),
        ("delete_file", {}),
    ):
        text, success = await use(toolbox(root), name, path=path, **more)
        assert not success, (name, text)
        assert "not yours\n" not in text
        assert "hunter2" not in text
    assert (root.parent / "outside.txt").read_text() == "not yours\n"
    assert (root / ".env").read_text() == FILES[".env"]


async def test_files_are_written_edited_and_deleted(root: Path) -> None:
    tools = toolbox(root)
    assert await use(tools, "write_file", path="new/a.txt", text="one\ntwo\n") == ("Wrote new/a.txt, 2 lines.", True)
    assert await use(tools, "edit_file", path="new/a.txt", old="one", new="1") == ("Changed new/a.txt.", True)
    assert (root / "new/a.txt").read_text() == "1\ntwo\n"
    assert await use(tools, "delete_file", path="new/a.txt") == ("Deleted new/a.txt.", True)
    assert not (root / "new/a.txt").exists()


@pytest.mark.parametrize(("old", "times"), [("start", 1), ("missing", 0), ("t", 8), ("", 0)])
async def test_a_passage_is_replaced_only_if_it_occurs_exactly_once(root: Path, old: str, times: int) -> None:
    (root / "once.txt").write_text("start, tttt ttt" if times == 1 else "tttt tttt")
    text, success = await use(toolbox(root), "edit_file", path="once.txt", old=old, new="X")
    assert success is (times == 1)
    if not success:
        assert f"occurs {times} times" in text
        assert (root / "once.txt").read_text() == "tttt tttt"


@pytest.mark.promise("S4")
async def test_only_files_that_the_task_declares_are_changed(root: Path) -> None:
    tools = toolbox(root, files=("src/*.py", f"{root}/docs"))
    for path in ("src/app.py", "docs/new.md"):
        assert (await use(tools, "write_file", path=path, text="x"))[1]
    for path in ("README.md", "src/deep/util.py", "web/app.ts"):
        text, success = await use(tools, "write_file", path=path, text="x")
        assert not success
        assert "none of the files that this task may change" in text
        assert (root / path).read_text() == FILES[path]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {}),
        ("read_file", {"path": 3}),
        ("read_file", {"path": "README.md", "first_line": "1"}),
        ("read_file", {"path": "README.md", "first_line": True}),
        ("write_file", {"path": "x"}),
        ("write_file", {"path": "x", "text": None}),
        ("search_files", {"text": ["a"]}),
        ("edit_file", {"path": "README.md", "old": "Read"}),
        ("list_files", "no object"),
        ("list_files", None),
    ],
)
async def test_input_that_is_none_is_answered_and_nothing_happens(root: Path, name: str, arguments: Any) -> None:
    text, success = await toolbox(root).use(name, arguments)
    assert not success
    assert text
    assert (root / "README.md").read_text() == FILES["README.md"]


async def test_a_long_result_is_cut_and_says_by_how_much(root: Path) -> None:
    (root / "long.txt").write_text("x" * 100_000)
    text, success = await use(toolbox(root), "read_file", path="long.txt")
    assert success
    assert len(text) < file_tools.MAX_CHARS + 100
    assert "characters left out" in text


async def test_a_file_that_is_no_text_is_refused(root: Path) -> None:
    (root / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    text, success = await use(toolbox(root), "read_file", path="image.png")
    assert (success, "UTF-8" in text or "binary" in text) == (False, True)


@pytest.mark.promise("S4")
@pytest.mark.parametrize(
    "path", [".gitattributes", ".github/workflows/ci.yml", ".vscode/tasks.json", "src/.envrc.py/.pth"]
)
async def test_what_runs_by_itself_later_is_changed_only_where_the_task_names_exactly_that_file(
    root: Path, path: str
) -> None:
    folder = path.rpartition("/")[0]
    for files in ((), ("**",), (".*/**", "src/**"), (folder or "*",), (f"{path}*",), ("README.md",)):
        for name, arguments in (
            ("write_file", {"text": "x"}),
            ("delete_file", {}),
            ("edit_file", {"old": "x", "new": "y"}),
        ):
            text, success = await use(toolbox(root, files=files), name, path=path, **arguments)
            assert not success, (files, name)
            assert "name exactly that path" in text or "is none of the files" in text
    text, success = await use(toolbox(root, files=("README.md", f"./{path}")), "write_file", path=path, text="x")
    assert success, text
    assert (root / path).read_text() == "x"


async def test_what_no_task_may_write_stays_so_though_it_is_named(root: Path) -> None:
    for path in (".git/config", ".claude/settings.json", ".mcp.json", "src/.git/hooks/pre-commit"):
        text, success = await use(toolbox(root, files=(path,)), "write_file", path=path, text="x")
        assert not success, text


@pytest.mark.parametrize("test", ["tests/test_node.py", "tests/unit/deep/test_node.py", "out/node_test.py"])
async def test_who_is_asked_for_a_file_by_its_path_may_write_its_test(root: Path, test: str) -> None:
    inputs = {"output_path": f"{root}/out/node.py"}
    raw = {"task_id": "t", "description": "Write it", "input_data": inputs}
    [task] = plan_documents.read_document({"tasks": [raw]}).reading.tasks
    tools = toolbox(root, files=task.files)
    for path in ("out/node.py", test):
        text, success = await use(tools, "write_file", path=path, text="x = 1\n")
        assert success, text
    _, success = await use(tools, "write_file", path="tests/test_other.py", text="x = 1\n")
    assert not success
