"""Which files other programs read and run by themselves, so that writing one is starting something later.

Git, its hooks, editors, shells, package managers, debuggers, interpreters and build servers do so. What somebody starts
on purpose (a Makefile, a script, a test) is none of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

_FOLDERS = frozenset(
    {
        *(".githooks", ".git-hooks", "git-hooks", ".husky", ".lefthook", ".hooks"),
        *(".github", ".gitlab", ".gitea", ".forgejo", ".circleci", ".buildkite", ".woodpecker", ".drone", ".teamcity"),
        *(".vscode", ".idea", ".fleet", ".zed", ".vs", ".devcontainer", ".settings", ".run", ".nvim", ".vim"),
        *(".cursor", ".codex", ".gemini", ".continue", ".windsurf", ".claude-plugin", ".roo", ".kiro"),
        *(".cargo", ".mvn", ".direnv", ".mise", ".yarn", ".bundle", ".ipython"),
    }
)
_NAMES = (
    r"\.git.*",  # attributes, submodules, the pipelines of GitLab
    *(r"\.pre-commit-(?:config|hooks)\.ya?ml", r"\.?lefthook(?:-local)?\.(?:ya?ml|toml|json)", r"\.overcommit\.ya?ml"),
    *(r"\.lintstagedrc(?:\..*)?", r"lint-staged\.config\..*", r"\.huskyrc(?:\..*)?", r"\.simple-git-hooks\..*"),
    *(r"(?:azure|bitbucket)-pipelines\.ya?ml", r"\.(?:travis|drone|woodpecker|cirrus|appveyor|readthedocs)\.ya?ml"),
    *(r"appveyor\.ya?ml", "jenkinsfile", r"netlify\.toml", r"vercel\.json", r"cloudbuild\.ya?ml", r"buildspec\.ya?ml"),
    *(r"\.envrc", r"\.(?:mise|rtx)(?:\..*)?\.toml", r"mise\.toml", r"\.autoenv(?:\..*)?", r"\.tool-versions"),
    *(
        r"\.(?:ba|z|k|c|tc)?sh(?:rc|env)",
        r"\.(?:bash|z)?_?(?:profile|login|logout|aliases)",
        r"\.(?:input|screen|tmux)\w*",
    ),
    *(
        r"\.(?:n|g)?vimrc",
        r"\.exrc",
        r"\.nvim\.lua",
        r"\.dir-locals(?:-2)?\.el",
        r".*\.code-workspace",
        r"\.emacs(?:\..*)?",
    ),
    *(
        r"\.(?:gdb|lldb)init",
        r"\.(?:pdb|irb|pry|psql|sqlite)rc",
        r"\.rprofile",
        r"\.pythonrc(?:\.py)?",
        r"\.wgetrc",
        r"\.curlrc",
    ),
    *(r"sitecustomize\.py", r"usercustomize\.py", r".*\.pth"),
    *(r"\.npmrc", r"\.yarnrc(?:\..*)?", r"\.pnpmfile\.c?js", r"\.pnp\..*", r"\.bazelrc", r"\.bazeliskrc", r"\.gemrc"),
    *(r"\.cursorrules", r"\.windsurfrules", r"\.aider.*", r"\.mcp.*", r"\.clauderc"),
)
_STARTS = re.compile("|".join(_NAMES), re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=4096)
def starts_by_itself(path: str) -> bool:
    """Returns whether a path names such a file, or something in a folder of such files."""
    *folders, last = (part.rstrip(". ").lower() for part in path.replace("\\", "/").split("/"))
    return bool(_STARTS.fullmatch(last)) or any(name in _FOLDERS for name in (*folders, last))
