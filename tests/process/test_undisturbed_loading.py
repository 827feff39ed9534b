"""Loading without the garbage collector: it stands still meanwhile, and leaves what was loaded alone afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from dispatch_mcp.process import undisturbed_loading


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_nothing_is_collected_while_modules_load_and_everything_that_they_made_is_left_alone() -> None:
    before = gc.get_freeze_count()
    with undisturbed_loading.undisturbed():
        assert not gc.isenabled()
        made = [[number] for number in range(1_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(made)


def test_the_collector_goes_on_after_a_module_that_cannot_be_loaded() -> None:
    with pytest.raises(ModuleNotFoundError), undisturbed_loading.undisturbed():
        raise ModuleNotFoundError("no such module")
    assert gc.isenabled()


def test_a_command_loads_what_it_needs_without_a_single_collection_of_everything() -> None:
    """Each of them would look at every class and function there is: a seventh of the time of a command."""
    code = (
        "import gc, sys; sys.argv = ['dispatch-mcp', 'config', 'path']\n"
        "from dispatch_mcp import __main__\n"
        "before = gc.get_stats()[2]['collections']\n"
        "__main__.main()\n"
        "print(gc.get_stats()[2]['collections'] - before, gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "0 True True"
