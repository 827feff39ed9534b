from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest
import rules
import source

Rule = Callable[[Iterable[source.Module]], list[str]]

RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        rules.layers,
        rules.libraries,
        rules.cycles,
        rules.relative_imports,
        rules.late_imports,
        rules.imports_by_name,
        rules.own_cuts,
        rules.naive_clocks,
        rules.impurity,
        rules.heavy_packages,
        rules.module_names,
        rules.class_names,
        rules.docstrings,
        rules.long_functions,
        rules.long_files,
        rules.typical_function,
    )
}

# One offence each: (rule, module, source). A rule that lets its offence pass guards nothing.
OFFENCES = [
    ("layers", "runs.state_machine", "from dispatch_mcp.store import sqlite_store"),
    ("layers", "store.sqlite_store", "from dispatch_mcp.workers import command"),
    ("layers", "workers.host", "from dispatch_mcp.engine import run_view"),
    ("layers", "engine.executor", "from dispatch_mcp.workers import command"),
    ("layers", "engine.executor", "from dispatch_mcp.cli import arguments"),
    ("layers", "cli.arguments", "from dispatch_mcp.workers import command"),
    (
        "layers",
        "model.ports",
        "from importlib import import_module\nx = import_module('dispatch_mcp.store.sqlite_store')",
    ),
    (
        "layers",
        "model.ports",
        "from importlib import import_module\nx = lambda name: import_module(f'dispatch_mcp.store.{name}')",
    ),
    ("layers", "errors", "import dispatch_mcp.model.types"),
    ("layers", "stray", ""),
    ("libraries", "cli.arguments", "import aiosqlite"),
    ("libraries", "engine.executor", "import mcp"),
    ("libraries", "model.types", "from yaml import safe_load"),
    ("libraries", "engine.executor", "import subprocess"),
    ("relative_imports", "runs.state_machine", "from . import model"),
    ("late_imports", "cli.arguments", "def f():\n    import rich\n    return rich"),
    (
        "late_imports",
        "cli.arguments",
        "f = lambda: __import__('x')\nclass A:\n    def g(self):\n        from os import path",
    ),
    (
        "late_imports",
        "mcp_server.server",
        "def f():\n    from dispatch_mcp.mcp_server import tools\n    return tools",
    ),
    ("imports_by_name", "mcp_server.lazy", "from importlib import import_module\nx = import_module('rich')"),
    ("imports_by_name", "cli.arguments", "import importlib\nx = importlib.import_module('rich')"),
    ("imports_by_name", "engine.task_runner", "from importlib import import_module\nx = import_module('rich')"),
    ("forbidden_calls", "cli.arguments", "print('x')"),
    ("forbidden_calls", "workers.command", "import subprocess\nsubprocess.run(['ls'], shell=True)"),
    ("forbidden_calls", "workers.command", "import subprocess\nsubprocess.run(['ls'], shell=flag)"),
    ("forbidden_calls", "workers.command", "import os\nos.system('ls')"),
    ("forbidden_calls", "workers.command", "import anyio\nasync def f():\n    await anyio.run_process('ls -l')"),
    ("forbidden_calls", "workers.command", "import anyio\nasync def f(x):\n    await anyio.open_process(f'ls {x}')"),
    ("forbidden_calls", "planning.graph", "eval('1')"),
    ("forbidden_calls", "planning.graph", "exec('1')"),
    ("forbidden_calls", "store.sqlite_store", "import pickle"),
    ("forbidden_calls", "store.sqlite_store", "from pickle import loads"),
    ("forbidden_calls", "agents.frontmatter", "import yaml\nyaml.load('x', yaml.Loader)"),
    ("forbidden_calls", "agents.catalog", "from yaml import unsafe_load, load"),
    ("own_cuts", "runs.state_machine", "def f(text):\n    return _WORD.findall(text[:MOST].lower())"),
    ("own_cuts", "runs.state_machine", "def f(text):\n    return _WORD.search(text[-4_000:])"),
    ("own_cuts", "text.reading.handoff_texts", "def f(text):\n    return _WORD.search(text)"),
    ("naive_clocks", "engine.executor", "from datetime import datetime\nx = datetime.now()"),
    ("naive_clocks", "engine.executor", "import datetime\nx = datetime.datetime.utcnow()"),
    ("naive_clocks", "engine.executor", "import datetime\nx = datetime.datetime.fromtimestamp(3)"),
    ("naive_clocks", "engine.executor", "import datetime\nx = datetime.date.today()"),
    ("impurity", "runs.state_machine", "import time"),
    ("impurity", "runs.state_machine", "from random import Random"),
    ("impurity", "runs.state_machine", "from pathlib import Path"),
    ("impurity", "runs.state_machine", "import pathlib\nx = pathlib.Path('x')"),
    ("impurity", "runs.state_machine", "x = open('x')"),
    ("impurity", "runs.state_machine", "async def f(): return 1"),
    ("impurity", "runs.state_machine", "import datetime\nx = datetime.datetime.now(datetime.UTC)"),
    ("heavy_packages", "store/", "from dispatch_mcp.store import sqlite_store"),
    ("module_names", "runs.utils", ""),
    ("module_names", "runs.run_helpers", ""),
    ("class_names", "runs.state_machine", "class RunManager: ..."),
    ("docstrings", "runs.state_machine", "def f(): return 1"),
    ("docstrings", "runs.state_machine", "'''Doc.'''\nclass A: ..."),
    ("long_functions", "runs.state_machine", "def f():\n" + "    x = 1\n" * 60),
    ("long_files", "runs.state_machine", "x = 1\n" * 601),
    ("typical_function", "runs.state_machine", "def f():\n" + "    x = 1\n" * 8),
]

# What looks like an offence and is none.
ALLOWED = [
    ("layers", "engine.executor", "from dispatch_mcp.model import ports\nfrom dispatch_mcp.store import sqlite_store"),
    ("late_imports", "workers.anthropic.api_worker", "def f():\n    import anthropic\n    return anthropic"),
    (
        "late_imports",
        "workers.anthropic.api_worker",
        "def f():\n    from opentelemetry.sdk import trace\n    return trace",
    ),
    (
        "late_imports",
        "cli.commands.serve",
        "def f():\n    from dispatch_mcp.mcp_server import tools\n    return tools",
    ),
    ("imports_by_name", "__main__", "import importlib\nx = importlib.import_module('rich')"),
    ("own_cuts", "runs.state_machine", "def f(text):\n    return _WORD.search(text[1:]) or text[:MOST]"),
    ("own_cuts", "text.reading.handoff_texts", "def f(text):\n    return _WORD.search(excerpts.HANDOFF.of(text))"),
    ("forbidden_calls", "workers.command", "import subprocess\nsubprocess.run(['ls'], shell=False)"),
    ("forbidden_calls", "store.sqlite_store", "connection.exec('x')\nre.compile('x')"),
    ("naive_clocks", "engine.executor", "import datetime\nx = datetime.datetime.now(datetime.UTC)"),
    (
        "impurity",
        "runs.state_machine",
        "from pathlib import PurePosixPath\nimport urllib.parse\nx = PurePosixPath('a')",
    ),
    ("impurity", "store.sqlite_store", "import time"),
    ("docstrings", "runs.state_machine", "'''Doc.'''\ndef _f(): return 1"),
    ("long_functions", "runs.state_machine", "def f():\n    '''Doc.'''\n" + "    x = [\n        1,\n    ]\n" * 59),
    ("typical_function", "runs.state_machine", "def f():\n    '''Doc.'''\n    # why\n\n" + "    x = 1\n" * 7),
]

WORLD = (
    "",
    "errors",
    "runs.state_machine",
    "model.types",
    "store.sqlite_store",
    "model.ports",
    "workers.command",
    "store",
    "engine.run_view",
    "cli.arguments",
)


def _world_with(name: str, text: str) -> list[source.Module]:
    """Returns a small product in which one module is replaced; a name that ends in "/" is a package's own module."""
    changed = source.Module(name.rstrip("/"), text, is_package=name.endswith("/"))
    others = (source.Module(other, '"""Doc."""', is_package=not other) for other in WORLD if other != changed.name)
    return [changed, *others]


def test_the_product_keeps_each_rule() -> None:  # all of them in one process, as each reads the whole product
    faults = {name: rule(source.modules()) for name, rule in RULES.items()}
    assert {name: lines for name, lines in faults.items() if lines} == {}


@pytest.mark.promise("S5")
def test_the_product_starts_no_shell_and_evaluates_no_text() -> None:
    assert rules.forbidden_calls(source.modules()) == []


@pytest.mark.parametrize(("rule", "name", "text"), OFFENCES)
def test_the_rule_finds_an_offence(rule: str, name: str, text: str) -> None:
    assert getattr(rules, rule)(_world_with(name, text))


@pytest.mark.parametrize(("rule", "name", "text"), ALLOWED)
def test_the_rule_lets_good_code_pass(rule: str, name: str, text: str) -> None:
    assert getattr(rules, rule)(_world_with(name, text)) == []


def test_the_rule_names_a_whole_cycle() -> None:
    chain = {"core.a": "core.b", "core.b": "core.c", "core.c": "core.a"}
    modules = [source.Module(name, f"import dispatch_mcp.{target}") for name, target in chain.items()]
    assert rules.cycles(modules) == ["core.a -> core.b -> core.c -> core.a"]


def test_an_import_by_name_closes_a_cycle() -> None:
    by_name = "from importlib import import_module\nx = lambda: import_module('dispatch_mcp.core.a')"
    modules = [source.Module("core.a", "from dispatch_mcp.core import b"), source.Module("core.b", by_name)]
    assert rules.cycles(modules) == ["core.a -> core.b -> core.a"]


def test_every_rule_has_an_offence_that_it_finds() -> None:
    assert {rule for rule, _, _ in OFFENCES} | {"cycles"} == {*RULES, "forbidden_calls"}


def test_importing_the_package_loads_no_library() -> None:
    heavy = "{'anthropic', 'mcp', 'rich', 'pydantic', 'jinja2', 'yaml', 'aiosqlite', 'sqlite3', 'anyio'}"
    code = f"import sys, dispatch_mcp; sys.exit(' '.join({heavy} & set(sys.modules)) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
