"""Exit code 0 of a runner of tests proves work only where tests have run, with no file slipped in before them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from dispatch_mcp import model
from dispatch_mcp.git import git_process
from dispatch_mcp.model import Receipt, WorkerKind, ports, work_order
from dispatch_mcp.process import allowlist, child_environment
from dispatch_mcp.workers import command, receipt_verifier, workspace_snapshot

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="programs run on POSIX only")]

FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": "def total(items):\n    return sum(items)\n",
    "tests/test_cart.py": "from shop.cart import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n",
    ".gitignore": "__pycache__/\n",
}
LEAVES = "import os\nos._exit(0)\n"
BROKEN = "def total(items):\n    return -1\n"
MENDED = "def total(items):\n    return sum(items, 0)\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    shop = tmp_path / "shop"
    put(shop, FILES)
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=shop, check=True)
    return shop


def put(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


async def proof(shop: Path, edits: Mapping[str, str], *files: str) -> Receipt:
    """Returns the receipt of the project's tests after a task that declares `files` has made edits."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(shop.parent)})
    home = shop.parent / "state"
    commands = command.CommandWorker(allowlist.parse([argv]), home, policy, grace_s=0.2)
    snapshots = workspace_snapshot.Snapshotter(git_process.Git(home, policy))
    verifier = receipt_verifier.ReceiptVerifier(commands, snapshots, limit_s=120)
    task = model.Task(id="t", do="Mend it", files=files, acceptance=(f"command: {shlex.join(argv)}",))
    work = work_order.WorkOrder("run", task, 1, WorkerKind.HOST, workspace=str(shop))
    with anyio.fail_after(240):
        before = await verifier.before(work)
        put(shop, edits)
        return (await verifier.receipts(work, before, ports.Surroundings())).receipts[0]


async def test_tests_that_pass_after_a_declared_change_prove_it(shop: Path) -> None:
    receipt = await proof(shop, {"shop/cart.py": MENDED}, "shop/cart.py")
    assert (receipt.ok, receipt.checked) == (True, True), receipt.detail


@pytest.mark.slice(3)
@pytest.mark.parametrize("path", ["tests/__init__.py", "tests/test_aaa.py", "tests/shop/__init__.py", "conftest.py"])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_that_ends_the_runner_before_its_tests_proves_nothing(
    shop: Path, path: str, *, declared: bool
) -> None:
    files = ("shop/cart.py", path) if declared else ("shop/cart.py",)
    receipt = await proof(shop, {"shop/cart.py": BROKEN, path: LEAVES}, *files)
    assert (receipt.ok, receipt.checked) == (False, False), receipt.detail
    assert "proves nothing" in receipt.detail


async def test_a_module_among_the_tests_that_nobody_declared_may_stand_before_what_they_test(shop: Path) -> None:
    edits = {"shop/cart.py": BROKEN, "tests/shop/__init__.py": "", "tests/shop/cart.py": MENDED}
    receipt = await proof(shop, edits, "shop/cart.py")
    assert (receipt.ok, receipt.checked) == (False, False), receipt.detail
    assert "`tests/shop/__init__.py`" in receipt.detail


async def test_new_tests_that_pass_need_not_be_declared(shop: Path) -> None:
    more = "from shop.cart import total\n\n\ndef test_none():\n    assert total([]) == 0\n"
    receipt = await proof(shop, {"shop/cart.py": MENDED, "tests/test_more.py": more}, "shop/cart.py")
    assert (receipt.ok, receipt.checked) == (True, True), receipt.detail
