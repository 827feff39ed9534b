from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import startup_paths

STARTING_TEXT = """
.gitattributes .gitmodules .gitignore .gitconfig .gitlab-ci.yml src/.gitattributes .GitAttributes .husky/pre-commit
.githooks/pre-push .github/workflows/ci.yml .github/actions/x/action.yml .github/dependabot.yml .circleci/config.yml
.vscode/tasks.json .vscode/settings.json .idea/workspace.xml .devcontainer/devcontainer.json app.code-workspace
.pre-commit-config.yaml .pre-commit-config.yml lefthook.yml .lefthook.toml .lintstagedrc .lintstagedrc.json .envrc
deep/er/.envrc .mise.toml .tool-versions Jenkinsfile azure-pipelines.yml bitbucket-pipelines.yml .travis.yml .npmrc
.yarnrc.yml .yarn/releases/yarn.cjs .pnp.cjs .cargo/config.toml .mvn/jvm.config .gdbinit .lldbinit .vimrc .exrc
.dir-locals.el .Rprofile sitecustomize.py lib/usercustomize.py evil.pth .bashrc .zshenv .profile .bash_profile
.cursor/mcp.json .cursorrules .mcp.local.json .bazelrc .vscode .github .husky/_/husky.sh .gitea/workflows/x.yml
"""
STARTING = STARTING_TEXT.split()
PLAIN_TEXT = """
src/app.py README.md Makefile package.json setup.py pyproject.toml conftest.py tests/test_app.py docs/git.md
github/x.py vscode/tasks.json husky/pre-commit git.py scripts/pre-commit.sh src/profile.py in.txt workflows/ci.yml
.editorconfig .eslintrc.json .prettierrc tsconfig.json Cargo.toml digit.txt a.git.py src/bashrc.md .coveragerc
"""
PLAIN = PLAIN_TEXT.split()


@pytest.mark.promise("S4")
@pytest.mark.parametrize("path", STARTING)
def test_what_other_programs_run_by_themselves_is_known(path: str) -> None:
    assert startup_paths.starts_by_itself(path)
    assert startup_paths.starts_by_itself(f"packages/app/{path}")
    assert startup_paths.starts_by_itself(path.upper())


@pytest.mark.parametrize("path", PLAIN)
def test_what_somebody_starts_on_purpose_is_none_of_it(path: str) -> None:
    assert not startup_paths.starts_by_itself(path)


@given(st.sampled_from([".github", ".husky", ".vscode", ".circleci", ".cargo"]), st.text(min_size=1, max_size=12))
def test_everything_in_such_a_folder_counts(folder: str, name: str) -> None:
    assert startup_paths.starts_by_itself(f"{folder}/{name}")
    assert startup_paths.starts_by_itself(f"a/{folder}/b/{name}")


@given(st.text(max_size=60))
def test_any_text_has_an_answer(path: str) -> None:
    assert startup_paths.starts_by_itself(path) in {True, False}
