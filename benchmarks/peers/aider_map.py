"""Aider's repository map for tasks given as JSON lines on stdin: answers with the files that it ranks first.

A line in has `place`, the workspace, and `task`; a line out has `ranked` and `shown`. Words of the task are mentions
of files and identifiers, by aider's own rules.
"""

# pyright: basic, reportMissingImports=false
# It runs in an environment of its own, where the peer is and dispatch-mcp is not.
from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from aider.repomap import RepoMap

TOKENS = 5_000
CHARACTERS_A_TOKEN = 3.6
SHORTEST = 5
"""Letters from which on aider takes a word of the task for the name of a file."""


class Console:
    def read_text(self, name: str) -> str | None:
        try:
            return Path(name).read_text("utf-8")
        except (OSError, UnicodeError):
            return None

    def tool_output(self, *_words: object) -> None:
        return None

    tool_warning = tool_error = tool_output


class Counter:
    def token_count(self, text: str) -> float:
        return len(text) / CHARACTERS_A_TOKEN


def files_of(place: Path, task: str) -> dict[str, list[str]]:
    """Returns the files that aider ranks first, and those that its map of 5,000 tokens names."""
    names = [path.relative_to(place).as_posix() for path in sorted(place.rglob("*")) if path.is_file()]
    paths = [str(place / name) for name in names]
    words = {word.strip("\"'`*_").rstrip(",.!;:?") for word in task.split()}
    identifiers = set(re.split(r"\W+", task))
    stems = {word.lower() for word in identifiers if len(word) >= SHORTEST}
    mentions = {name for name in names if name in words or Path(name).name in words or Path(name).stem.lower() in stems}
    repository = RepoMap(map_tokens=TOKENS, root=str(place), main_model=Counter(), io=Console(), refresh="always")
    tags = repository.get_ranked_tags([], paths, mentions, identifiers)
    text = repository.get_repo_map([], paths, mentions, identifiers, force_refresh=True)
    lines = {line.rstrip(":") for line in (text or "").split("\n")}
    return {"ranked": list(dict.fromkeys(tag[0] for tag in tags)), "shown": [name for name in names if name in lines]}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        RepoMap.TAGS_CACHE_DIR = str(Path(folder, "tags"))
        for line in sys.stdin:
            row = json.loads(line)
            print(json.dumps(files_of(Path(row["place"]), row["task"])), flush=True)


if __name__ == "__main__":
    main()
