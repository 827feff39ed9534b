"""The rules of the house as functions: modules in, one line per violation out."""

from __future__ import annotations

import ast
import bisect
import functools
import io
import statistics
import tokenize
from collections.abc import Iterable, Iterator, Mapping

import source

FLOORS: tuple[tuple[str, ...], ...] = (
    # The parts of the product from top to bottom. A part imports only parts of lower floors, and itself.
    ("__main__",),
    ("cli",),
    ("hooks", "web"),
    ("mcp_server",),
    ("composition",),
    ("worker_setup",),
    ("distribution", "workers_present"),
    ("pages",),
    ("service",),
    ("temporal",),
    ("engine", "alerts", "telemetry"),
    ("context", "store", "workers"),
    ("git",),
    ("runs",),
    ("planning",),
    ("review", "routing"),
    ("agents", "registration"),
    ("configuration", "prices"),
    ("process", "model"),
    ("text",),
    ("errors",),
    ("next_steps",),
    ("",),
)
NOT_FROM: Mapping[str, tuple[str, ...]] = {
    # Interfaces ask the service; only what wires the product knows who carries work out.
    "cli": ("workers", "git.workspace_provider", "git.merge_queue", "git.git_process"),
    "mcp_server": ("workers", "git.workspace_provider", "git.merge_queue", "git.git_process", "store", "context"),
    "web": ("workers", "git", "store", "context", "service"),
    "hooks": ("workers", "git.workspace_provider", "git.merge_queue", "git.git_process", "context"),
    "pages": ("workers", "context", "git"),
    "service": ("workers",),
    "temporal": ("workers", "git.workspace_provider", "git.merge_queue", "git.branch_apply"),
    "engine": ("workers", "git.workspace_provider", "git.merge_queue", "git.branch_apply"),
}

SIGNATURES = frozenset({"model.ports"})
"""Pure modules that declare what asynchronous parts of other floors must offer."""

ONLY_IN: Mapping[str, tuple[str, ...]] = {
    # A library, and the only modules that may import it.
    "aiosqlite": ("store",),
    "temporalio": ("temporal",),
    "obstore": ("temporal",),
    "opentelemetry": ("telemetry",),
    "sqlite3": ("store", "context", "cli.commands.doctor"),
    "anthropic": ("workers.anthropic",),
    "httpx2": ("workers.anthropic",),
    "genai_prices": ("prices",),
    "jinja2": ("agents.templates", "pages"),
    "yaml": ("agents.frontmatter", "agents.templates"),
    "mcp": ("mcp_server", "cli", "web"),
    "mcp_types": ("mcp_server", "cli"),
    "starlette": ("web",),
    "uvicorn": ("web",),
    "rich": ("cli",),
    "platformdirs": ("configuration", "hooks.hook_program"),
    "subprocess": ("process", "git", "workers", "context.git_log"),
    "multiprocessing": (),
    "pty": (),
}

PURE = (
    # What holds functions of values only: no clock, randomness, files, network, nothing asynchronous.
    *("model", "text", "routing", "planning", "review", "runs"),
    *("agents.a2a_card", "agents.catalog", "agents.frontmatter", "agents.templates"),
    *("context.assembly", "context.chunks", "context.context_query", "context.gitignore", "context.import_graph"),
    *("context.packs", "context.ranking", "context.requirements", "context.search_scope", "context.part_choice"),
    *("context.documents.document_parts", "context.documents.file_mentions", "context.documents.file_shares"),
    "context.documents.guide_shares",
    *("git.apply_rules", "git.inner_work", "git.merge_rules", "git.worktree_leftovers"),
    *("process.allowlist", "process.child_environment"),
)

IMPURE = frozenset(
    {
        "aiosqlite",
        "anyio",
        "asyncio",
        "concurrent",
        "fcntl",
        "fileinput",
        "getpass",
        "glob",
        "http",
        "importlib",
        "io",
        "locale",
        "logging",
        "msvcrt",
        "multiprocessing",
        "os",
        "platform",
        "random",
        "resource",
        "sched",
        "secrets",
        "select",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    }
)
PURE_PARTS = frozenset({"importlib.metadata", "urllib.parse", "io.StringIO", "io.BytesIO"})
PATHS_WITHOUT_DISK = frozenset({"PurePath", "PurePosixPath", "PureWindowsPath"})

LATE_IMPORTS = (
    "anthropic",
    "genai_prices",
    "httpx2",
    "uvicorn",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "temporalio",
    "obstore",
)
IMPORT_BY_NAME = frozenset({"__main__"})
"""Which command is typed decides which module is loaded; the layers count the name that the text begins with."""
WIRES = frozenset({"composition", "distribution"})
LATE_ROOMS = ("temporal", "telemetry")
"""What needs an extra and is imported by who wires the product once the settings ask for it."""
LATE_OWN_IMPORTS = frozenset({"__main__", "cli.commands.serve"})
"""What starts the program and the server, and imports their parts when they are needed."""
STARTS_AT_EVERY_TURN = frozenset(
    {"hooks.hook_program", "hooks.quick_answers", "hooks.quick_calls", "hooks.status_line", "store.looks.open_runs"}
)
"""What a host starts at every turn of every session: all of it is imported only when it is needed."""
FORBIDDEN_CALLS = frozenset(
    {
        "print",
        "eval",
        "exec",
        "compile",
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "asyncio.create_subprocess_shell",
        "yaml.load",
        "yaml.unsafe_load",
        "yaml.full_load",
        "yaml.load_all",
        "__import__",
    }
)
FORBIDDEN_LIBRARIES = frozenset({"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"})
STARTS_A_PROCESS = frozenset({"anyio.run_process", "anyio.open_process", "asyncio.create_subprocess_exec"})
NAIVE_ALWAYS = ("utcnow", "utcfromtimestamp")
NAIVE_WITHOUT_ZONE = {"datetime.now": 1, "datetime.fromtimestamp": 2}
FORBIDDEN_WORDS = frozenset({"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common"})

FUNCTION_MEDIAN = 8
FUNCTION_P90 = 26
FUNCTION_MAX = 60
FILE_MAX = 600


PATTERN_METHODS = frozenset({"search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split"})
LONG_CUT = 100
"""Characters from which on a cut is there to bound what a pattern reads."""
ENTRANCES: Mapping[str, Mapping[str, str]] = {
    "routing.request_reader": {"requests": "request"},
    "routing.request_parts": {"requests": "request"},
    "routing.learning": {"requests": "request"},
    "routing.suitability": {"requests": "OPENING"},
    "routing.word_vectors": {"requests": "MEANING"},
    "routing.agent_index": {"prompts of agents": "ROLE"},
    "planning.drafts.classifier": {"requests": "request"},
    "planning.plan_advice": {"tasks": "GOAL"},
    "planning.drafts.pattern_graphs": {"parts of requests": "GOAL"},
    "context.context_query": {"tasks": "SEARCH"},
    "context.documents.file_mentions": {"tasks": "FILE_NAMES"},
    "agents.catalog": {"files of agents": "AGENT_FILE"},
    "agents.frontmatter": {"front matter": "FRONT_MATTER.chars"},
    "review.reviewer_selection": {"changes, for the triggers of agents": "CHANGE"},
    "review.review_scope": {"changes": "CHANGE"},
    "review.injections": {"changed lines": "CHANGED_LINE"},
    "review.answer_parser": {"answers of reviewers": "REVIEW"},
    "review.answer_lines": {"verdicts": "VERDICT_LINE"},
    "text.reading.handoff_texts": {"handoffs": "HANDOFF"},
    "text.reading.reported_failures": {"answers of workers": "HANDOFF"},
    "model.usage_reader": {"usages": "USAGE"},
    "model.agent_refusals": {"refusals of hosts": "REFUSAL", "lists of subagents": "REFUSAL_NAMES"},
    "model.like_failures": {"errors": "FAILURE"},
    "hooks.hook_events": {"notifications": "NOTIFICATION"},
    "text.attempt_names": {"prompts": "PROMPT"},
    "text.counting.python_checks": {"files of tests": "SOURCE.chars"},
}
"""Where patterns meet texts that others wrote: the module, what it reads, and the excerpt that it reads of that."""


def _within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.") if part else not name


def _top(target: str) -> str:
    return target.partition(".")[0]


def layers(modules: Iterable[source.Module]) -> list[str]:
    """Returns the imports that do not run downwards through FLOORS, or that NOT_FROM forbids."""
    modules = tuple(modules)
    known = source.names(modules)
    found: list[str] = []
    for module in modules:
        if _floor(module.name) is None:
            found.append(f"{module.at(module.tree)} is on no floor")
            continue
        for target, node in source.own_imports(module, known):
            if not _may_import(module.name, target):
                found.append(f"{module.at(node)} imports {target}")
    return found


def _floor(name: str) -> int | None:
    return next((at for at, parts in enumerate(FLOORS) if _top(name) in parts), None)


def _may_import(name: str, target: str) -> bool:
    mine, theirs = _floor(name), _floor(target)
    if _top(name) == _top(target):
        return True
    forbidden = any(_within(target, part) for part in NOT_FROM.get(_top(name), ()))
    return not forbidden and mine is not None and theirs is not None and theirs > mine


def libraries(modules: Iterable[source.Module]) -> list[str]:
    """Returns the imports of libraries from outside the modules that ONLY_IN lists for them."""
    return [
        f"{module.at(one.node)} imports {one.target}"
        for module in modules
        for one in source.imports(module)
        if _top(one.target) in ONLY_IN and not any(_within(module.name, part) for part in ONLY_IN[_top(one.target)])
    ]


def cycles(modules: Iterable[source.Module]) -> list[str]:
    """Returns the import cycles, imports by name and under TYPE_CHECKING included, each as "a -> b -> a"."""
    modules = tuple(modules)
    known = source.names(modules)
    edges = {
        module.name: sorted({target for target, _ in source.own_imports(module, known) if target != module.name})
        for module in modules
    }
    found: list[str] = []
    done: set[str] = set()
    for name in sorted(edges):
        _walk(name, edges, (), done, found)
    return found


def _walk(name: str, edges: Mapping[str, list[str]], path: tuple[str, ...], done: set[str], found: list[str]) -> None:
    if name in path:
        found.append(" -> ".join((*path[path.index(name) :], name)))
    elif name not in done:
        for target in edges.get(name, []):
            _walk(target, edges, (*path, name), done, found)
        done.add(name)


def relative_imports(modules: Iterable[source.Module]) -> list[str]:
    """Returns the relative imports: call sites say in full where things come from."""
    return [
        f"{module.at(one.node)} imports {one.target}"
        for module in modules
        for one in source.imports(module)
        if one.target.startswith(".")
    ]


def late_imports(modules: Iterable[source.Module]) -> list[str]:
    """Returns the imports inside functions that nothing above allows: of a library, of our own, or of anything."""
    return [
        f"{module.at(one.node)} imports {one.target} inside a function"
        for module in modules
        for one in source.imports(module)
        if one.inside_function and not _may_be_late(module.name, one.target)
    ]


def _may_be_late(name: str, target: str) -> bool:
    own = name in LATE_OWN_IMPORTS and _within(target, source.PACKAGE)
    extra = name in WIRES and any(_within(target, f"{source.PACKAGE}.{room}") for room in LATE_ROOMS)
    return own or extra or name in STARTS_AT_EVERY_TURN or any(_within(target, library) for library in LATE_IMPORTS)


def imports_by_name(modules: Iterable[source.Module]) -> list[str]:
    """Returns the uses of importlib.import_module outside the module that starts the program."""
    return [
        f"{module.at(call)} calls {name}"
        for module in modules
        if module.name not in IMPORT_BY_NAME
        for name, call in source.calls(module)
        if name.split(".")[-1] == "import_module"
    ]


def own_cuts(modules: Iterable[source.Module]) -> list[str]:
    """Returns patterns that are given a text cut on the spot, and entrances that read a text without its excerpt."""
    found = [
        f"{module.at(call)} cuts what a pattern reads; `text.reading.excerpts` does"
        for module in modules
        for name, call in source.calls(module)
        if name.rpartition(".")[2] in PATTERN_METHODS and any(map(_is_cut, ast.walk(call)))
    ]
    return found + [
        f"{module.name} reads {what} without `excerpts.{excerpt}`"
        for module in modules
        for what, excerpt in ENTRANCES.get(module.name, {}).items()
        if f"excerpts.{excerpt}" not in {ast.unparse(node) for node in ast.walk(module.tree) if _is_attribute(node)}
    ]


def _is_attribute(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute)


def _is_cut(node: ast.AST) -> bool:
    """Returns whether a node is a slice up to, or from, a constant that is no small number."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
        return False
    ends = [end.operand if isinstance(end, ast.UnaryOp) else end for end in (node.slice.lower, node.slice.upper)]
    return any(
        (isinstance(end, ast.Name) and end.id.isupper())
        or (isinstance(end, ast.Constant) and isinstance(end.value, int) and end.value >= LONG_CUT)
        for end in ends
    )


def forbidden_calls(modules: Iterable[source.Module]) -> list[str]:
    """Returns calls and imports that nothing here may use: shells, eval, pickle, print and the like."""
    found: list[str] = []
    for module in modules:
        found += [f"{module.at(call)} calls {name}" for name, call in source.calls(module) if name in FORBIDDEN_CALLS]
        found += [f"{module.at(call)} uses a shell" for name, call in source.calls(module) if _shell(name, call)]
        found += [
            f"{module.at(one.node)} imports {one.target}"
            for one in source.imports(module)
            if _top(one.target) in FORBIDDEN_LIBRARIES or one.target in FORBIDDEN_CALLS
        ]
    return found


def _shell(name: str, call: ast.Call) -> bool:
    for keyword in call.keywords:
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            return True
    first = call.args[0] if call.args else None
    text = isinstance(first, ast.JoinedStr) or (isinstance(first, ast.Constant) and isinstance(first.value, str))
    return text and (name in STARTS_A_PROCESS - {"asyncio.create_subprocess_exec"} or name.startswith("subprocess."))


def naive_clocks(modules: Iterable[source.Module]) -> list[str]:
    """Returns reads of the clock without a time zone."""
    return [
        f"{module.at(call)} calls {name} without a time zone"
        for module in modules
        for name, call in source.calls(module)
        if name and _naive(name, call)
    ]


def _naive(name: str, call: ast.Call) -> bool:
    parts = name.split(".")
    if parts[-1] in NAIVE_ALWAYS or ".".join(parts[-2:]) in {"date.today", "datetime.today"}:
        return True
    needed = NAIVE_WITHOUT_ZONE.get(".".join(parts[-2:]))
    zone = [keyword for keyword in call.keywords if keyword.arg == "tz"]
    return needed is not None and len(call.args) < needed and not zone


def impurity(modules: Iterable[source.Module]) -> list[str]:
    """Returns what gives PURE parts a clock, randomness, files, network or concurrency."""
    found: list[str] = []
    for module in modules:
        if any(_within(module.name, part) for part in PURE) and module.name not in SIGNATURES:
            found += [f"{module.at(node)} {what}" for node, what in _impurities(module)]
    return found


def _impurities(module: source.Module) -> Iterator[tuple[ast.AST, str]]:
    for one in source.imports(module):
        if _top(one.target) in IMPURE and not any(_within(one.target, part) for part in PURE_PARTS):
            yield one.node, f"imports {one.target}"
        if one.target.startswith("pathlib.") and one.target.split(".")[1] not in PATHS_WITHOUT_DISK:
            yield one.node, f"imports {one.target}"
    for name, call in source.calls(module):
        parts = name.split(".")
        if name in {"open", "input"} or (parts[0] == "pathlib" and parts[-1] not in PATHS_WITHOUT_DISK):
            yield call, f"calls {name}"
        if len(parts) > 1 and parts[-2] in {"datetime", "date"} and parts[-1] in {"now", "today", "utcnow"}:
            yield call, f"reads the clock with {name}"
    for node in module.nodes:
        if isinstance(node, (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)):
            yield node, "is asynchronous"


def heavy_packages(modules: Iterable[source.Module]) -> list[str]:
    """Returns what a package's `__init__` imports besides the error tree and the values that `model` passes on."""
    return [
        f"{module.at(one.node)} imports {one.target}"
        for module in modules
        if module.is_package
        for one in source.imports(module)
        if not one.target.startswith(
            (
                "__future__.",
                f"{source.PACKAGE}.errors",
                f"{source.PACKAGE}.model.types.",
                f"{source.PACKAGE}.text.json_types.",
            )
        )
    ]


def module_names(modules: Iterable[source.Module]) -> list[str]:
    """Returns modules whose name says nothing."""
    return [
        f"{module.name} is no name"
        for module in modules
        if any(FORBIDDEN_WORDS & set(part.split("_")) for part in module.name.split("."))
    ]


def class_names(modules: Iterable[source.Module]) -> list[str]:
    """Returns classes whose name says nothing."""
    return [
        f"{module.at(node)} {node.name} is no name"
        for module in modules
        for node in module.nodes
        if isinstance(node, ast.ClassDef) and node.name.lower().endswith(tuple(FORBIDDEN_WORDS))
    ]


def docstrings(modules: Iterable[source.Module]) -> list[str]:
    """Returns public modules, classes and top-level functions without a docstring, or whose first line is none."""
    found: list[str] = []
    for module in modules:
        public = [node for node in module.tree.body if isinstance(node, _DOCUMENTED) and not node.name.startswith("_")]
        found += [
            f"{module.at(node)} has no docstring: {_label(node)}" for node in (module.tree, *public) if not _doc(node)
        ]
    return found


_DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _doc(node: ast.AST) -> str:
    assert isinstance(node, (ast.Module, *_DOCUMENTED))
    return (ast.get_docstring(node) or "").strip()


def _label(node: ast.AST) -> str:
    return str(getattr(node, "name", "the module"))


def long_functions(modules: Iterable[source.Module]) -> list[str]:
    """Returns the functions over FUNCTION_MAX logical lines."""
    return [
        f"{module.at(function)} {function.name} has {size} logical lines"
        for module in modules
        for function, size in sizes(module)
        if size > FUNCTION_MAX
    ]


def long_files(modules: Iterable[source.Module]) -> list[str]:
    """Returns the modules over FILE_MAX lines."""
    return [
        f"{module.name} has {lines} lines" for module in modules if (lines := len(module.text.splitlines())) > FILE_MAX
    ]


def typical_function(modules: Iterable[source.Module]) -> list[str]:
    """Returns a line each when the median or the 90th percentile of function sizes is over its budget."""
    found: list[str] = []
    measured = sorted(size for module in modules for _, size in sizes(module))
    if not measured:
        return found
    median, p90 = statistics.median(measured), measured[min(len(measured) - 1, int(len(measured) * 0.9))]
    if median > FUNCTION_MEDIAN:
        found.append(f"the median function has {median} logical lines")
    if p90 > FUNCTION_P90:
        found.append(f"the 90th percentile of functions has {p90} logical lines")
    return found


def sizes(module: source.Module) -> tuple[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int], ...]:
    """Returns every function that is not a stub with its logical lines.

    A logical line is Python's own: a statement of several physical lines is one. The signature counts as one,
    docstrings, comments and blank lines as none; an inner function counts for itself and for the outer one.
    """
    return _sizes_of(module)


@functools.cache
def _sizes_of(module: source.Module) -> tuple[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int], ...]:
    return tuple(_sizes(module))


def _sizes(module: source.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    ends = _logical_lines(module.text)
    for function in source.functions(module):
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if body and not all(_empty(statement) for statement in body):
            size = bisect.bisect_right(ends, function.end_lineno or 0) - bisect.bisect_left(ends, function.lineno)
            yield function, size - sum(1 for _ in _with_docstring(function))


def _logical_lines(text: str) -> list[int]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.start[0] for token in tokens if token.type == tokenize.NEWLINE]


def _with_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    for node in ast.walk(function):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            yield node


def _empty(statement: ast.stmt) -> bool:
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)
