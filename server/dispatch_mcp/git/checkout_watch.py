"""Whether the user's checkout changed while somebody worked in a worktree: an attempt can write anywhere it may.

The user and others work there too, so a change is told and held against nobody, but for branches and what is checked
out where it can be seen that the attempt itself moved them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import errors
from dispatch_mcp.git import command_log, foreign_repositories, git_process, merge_rules
from dispatch_mcp.model import problems

LOOK_S: Final = 10.0
"""What one look may take; a checkout that takes longer is not watched."""

OUTPUT_CAP: Final = 8 << 20
NAMED: Final = 5
MAX_INNER: Final = 20
"""Submodules and other repositories inside of the checkout that are looked into."""

MAX_LOOSE: Final = 2_000
"""Refs of one of these that are read, of those with a file of their own."""

_STATUS: Final = (
    *("status", "--porcelain=v2", "--branch", "-z", "--no-renames"),
    *("--untracked-files=normal", "--ignored=matching"),
)
_BLANKS_BEFORE_PATH: Final[Mapping[str, int]] = {"1": 8, "u": 10, "?": 1, "!": 1}
"""Fields before the path of each kind of entry: changed, unmerged, untracked, ignored."""

_BRANCHES: Final = "refs/heads/"
_HEAD: Final = "HEAD"
_TAGS: Final = "refs/tags/"
_STASH: Final = "refs/stash"
_REMOTES: Final = "refs/remotes/"
_OURS: Final = "refs/dispatch/"
_SETTINGS: Final = ("config", "config.worktree", "info/exclude")
_SAMPLE: Final = ".sample"
"""How the hooks end that git puts into every repository."""
_SECTION: Final = re.compile(r"^\s{0,20}(\[(?!core\])[^]\n]{1,200}\])", re.MULTILINE)
"""What stands above the settings in git's configuration, but for those that every repository has."""
_REFS: Final = ("for-each-ref", "--format=%(objectname) %(refname)")
_KINDS: Final[Mapping[str, str]] = {_BRANCHES: "branch ", _TAGS: "tag ", _STASH: "the stash"}
_OTHERS: Final[Mapping[str, str]] = {_REMOTES: "remote branch ", "": "ref "}

STASH_BYTES: Final = 1 << 20
"""Of git's log of the stash, in which every entry stands."""


class CheckoutState(NamedTuple):
    """A checkout at one moment: what is checked out, refs with their commits, marks of uncommitted files by path.

    `settings` are marks of the files that steer git: its configuration and hooks. `log` is a mark of git's own log of
    what was checked out here, empty where it keeps none. `stash` are the commits of the stash's entries.
    `inner` are the repositories inside of it by their paths, of which `files` has the files too. `git_dir` is where git
    keeps such a one. `worktrees` are the folders of the repository's other worktrees that are not ours.
    """

    branch: str = ""
    head: str = ""
    refs: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    settings: Mapping[str, str] = {}
    log: str = ""
    stash: tuple[str, ...] = ()
    inner: Mapping[str, CheckoutState] = {}
    git_dir: str = ""
    worktrees: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CheckoutWatch:
    """Looks at the checkout of `repo`; `extra_files` are those to look at even where git ignores their folder."""

    git: git_process.Git
    repo: git_process.Repository
    extra_files: Collection[str] = ()

    async def look(self) -> CheckoutState | None:
        """Returns the checkout as it is; None when that takes too long or cannot be seen."""
        try:
            return await self.view()
        except errors.WorkerError:
            return None

    async def view(self) -> CheckoutState:
        """Returns the checkout as it is.

        Raises:
            TooSlow, TooMuch: it is too large to be watched.
            WorkerError: it cannot be seen.
        """
        git = replace(self.git, max_seconds=LOOK_S, output_cap=OUTPUT_CAP)
        if not self.repo.bare and foreign_repositories.git_directory(self.repo.top) is None:
            raise errors.WorkerError("its git directory is gone")  # git would look for one further up
        status = "" if self.repo.bare else (await git.run(self.repo.top, *_STATUS)).out
        lines = (await git.run(self.repo.top, *_REFS)).lines
        inner = {} if self.repo.bare else await self._inner(git, status.split("\0"))
        pairs = (line.partition(" ") for line in lines)
        refs = {ref: commit for commit, _, ref in pairs if not ref.startswith(_OURS)}
        return await anyio.to_thread.run_sync(self._state, status.split("\0"), refs, inner)

    async def _inner(self, git: git_process.Git, entries: Sequence[str]) -> dict[str, str]:
        """Returns what git says of each repository inside, by its path: it never looks in there by itself."""
        names = [*await foreign_repositories.submodule_names(git, self.repo.top)]
        paths = await anyio.to_thread.run_sync(_inner_folders, self.repo.top, names, entries)
        answers = dict[str, str]()
        for path in paths:
            try:
                answers[path] = (await git.run(self.repo.top / path, *_STATUS)).out
            except (git_process.TooSlow, git_process.TooMuch):
                raise
            except errors.WorkerError:
                continue
        return answers

    def _state(self, entries: Collection[str], refs: Mapping[str, str], inner: Mapping[str, str]) -> CheckoutState:
        header = _header(entries)
        marks = _marks(self.repo.top, entries)
        inside = {path: _inner_state(self.repo.top / path, status) for path, status in inner.items()}
        for path, status in inner.items():
            marks[path] = f"{inside[path].head} {inside[path].branch}"
            marks |= {f"{path}/{name}": mark for name, mark in _marks(self.repo.top / path, status.split("\0")).items()}
        rest = {path: mark_of(self.repo.top / path) for path in self.extra_files if path not in marks}
        common = self.repo.common
        steering = [*(common / name for name in _SETTINGS), *sorted(common.glob("hooks/*"))]
        return CheckoutState(
            branch=header.get("branch.head", ""),
            head=header.get("branch.oid", ""),
            refs=refs,
            files={**rest, **marks},
            settings={f".git/{path.relative_to(common).as_posix()}": _setting(path) for path in steering},
            log=mark_of((foreign_repositories.git_directory(self.repo.top) or common) / "logs" / "HEAD"),
            stash=_stash(common),
            inner=inside,
            worktrees=frozenset(_other_worktrees(common, self.git.home)),
        )


def differences(before: CheckoutState, after: CheckoutState) -> list[str]:
    """Returns what changed between two looks, each in a few words."""
    files = sorted(path for path in {**before.files, **after.files} if _differs(before, after, path))
    settings = [path for path in {**before.settings, **after.settings} if _differing(before, after, path)]
    parts = [*_moves(before, after)]
    if files or settings:
        parts.append(problems.in_backticks(merge_rules.printable([*files, *settings]), NAMED))
    return parts


def edits(state: CheckoutState) -> list[str]:
    """Returns the files of a checkout that are not committed and not ignored; new folders end with a slash."""
    return [path for path, mark in state.files.items() if mark.startswith(("1 ", "u ", "? "))]


def missing_edits(before: CheckoutState, after: CheckoutState) -> list[str]:
    """Returns the files that were not committed and now are as in the commit, or are not there."""
    there = frozenset(edits(after))
    return [path for path in edits(before) if path not in there]


def notice(parts: Collection[str]) -> str:
    """Returns what a receipt says of such changes."""
    return f"changed meanwhile in the checkout itself, by this task or somebody else: {'; '.join(parts)}"


def own_moves(
    before: CheckoutState, after: CheckoutState, commands: Collection[command_log.GitCommand], top: Path
) -> list[str]:
    """Returns the moves of the user's branches, and of what is checked out in `top`, that an attempt made itself.

    What is checked out there moves with an entry in that checkout's own log when the user does it. Other branches are
    the attempt's doing when one of its git commands names them. A new branch is nobody's loss.
    """
    is_here = any(command.moves_checkout(top) for command in commands)
    is_unexplained = bool(before.log) and after.log in {before.log, ""}
    moves = list(_checkout_moves(before, after)) if is_here or is_unexplained else []
    for ref in sorted(ref for ref in before.refs if ref.startswith(_BRANCHES)):
        branch = ref.removeprefix(_BRANCHES)
        is_move = branch != before.branch and after.refs.get(ref, before.refs[ref]) != before.refs[ref]
        if is_move and any(command.moves_branch(branch) for command in commands):
            moves.append(f"{_name(ref)} {_move(before.refs[ref], after.refs.get(ref, ''))}")
    return moves


class RefLoss(NamedTuple):
    """A ref of the user's, or an entry of the stash, that is gone or elsewhere now, and the commit that it had.

    `folder` is the repository inside of the checkout that it is in, empty for that of the checkout itself.
    """

    ref: str
    before: str
    after: str = ""
    folder: str = ""

    @property
    def text(self) -> str:
        """What became of it, and the command that brings it back."""
        git = f"git -C {merge_rules.in_shell([self.folder])}" if self.folder else "git"
        where = f"in {problems.in_backticks(merge_rules.printable([self.folder]))}: " if self.folder else ""
        if self.ref == _STASH:
            return f"{where}an entry of the stash is gone (`{git} stash store {self.before}` brings it back)"
        if self.ref == _HEAD:
            move = f"what is checked out {_move(self.before, self.after)}, and no branch has that commit"
            return f"{where}{move} (`{git} branch NAME {self.before}` keeps it)"
        way_back = f"`{git} update-ref {self.ref} {self.before}` brings it back"
        return f"{where}{_name(self.ref)} {_move(self.before, self.after)} ({way_back})"


def ref_losses(
    before: CheckoutState,
    after: CheckoutState,
    commands: Collection[command_log.GitCommand],
    *,
    in_worktree: bool,
) -> list[RefLoss]:
    """Returns the refs and entries of the stash that an attempt took away, or set to another commit.

    What is checked out is left to `own_moves`, and so is a branch that moved. Without a worktree an attempt answers for
    all branches and tags that are gone, by git or not; else for what its git commands can have done.
    """
    losses = list[RefLoss]()
    for ref, commit in sorted(before.refs.items()):
        now = after.refs.get(ref, "")
        is_left = now == commit or ref in {_STASH, f"{_BRANCHES}{before.branch}"}
        if is_left or (now and ref.startswith(_BRANCHES)):
            continue
        is_answerable = not now and not in_worktree and ref.startswith((_BRANCHES, _TAGS))
        if is_answerable or any(command.drops_ref(ref) for command in commands):
            losses.append(RefLoss(ref, commit, now))
    return losses + [
        RefLoss(_STASH, entry) for entry in _stash_losses(before, after, commands, in_worktree=in_worktree)
    ]


def inner_ref_losses(path: str, before: CheckoutState, after: CheckoutState) -> list[RefLoss]:
    """Returns the refs and entries of the stash of a repository inside that are gone or elsewhere, and its HEAD if so.

    What only moved on, or is in another branch too, is among them.
    """
    losses = [
        RefLoss(ref, commit, after.refs.get(ref, ""), path)
        for ref, commit in sorted(before.refs.items())
        if after.refs.get(ref) != commit and ref != _STASH and not ref.startswith(_REMOTES)
    ]
    losses += [RefLoss(_STASH, commit, "", path) for commit in before.stash if commit not in after.stash]
    is_moved = before.head != after.head and merge_rules.is_object(before.head)
    if is_moved and before.head not in {loss.before for loss in losses}:
        losses.append(RefLoss(_HEAD, before.head, after.head, path))
    return losses


class StagedFile(NamedTuple):
    """What is staged of a file and stands nowhere else: neither in the commit nor on the disk."""

    mode: str
    blob: str
    head_blob: str


def staged_files(state: CheckoutState) -> dict[str, StagedFile]:
    """Returns the files of a checkout of which something else is staged than what is committed or there."""
    fields = {path: mark.split(" ") for path, mark in state.files.items() if mark.startswith("1 ")}
    return {
        path: StagedFile(words[4], words[7], words[6])
        for path, words in fields.items()
        if "." not in words[1] and words[2] == "N..." and words[4].strip("0")
    }


def unstaged_files(
    before: CheckoutState, after: CheckoutState, commands: Collection[command_log.GitCommand], top: Path
) -> list[str]:
    """Returns the files of which what was staged, and stood nowhere else, is not staged any more.

    Whoever stages more of a file in the meantime has replaced it on purpose, unless a command of the attempt did that.
    """
    if before.head != after.head:
        return []
    is_here = any(command.restages(top) for command in commands)
    return [
        path
        for path, file in staged_files(before).items()
        if file.blob not in after.files.get(path, "").split(" ")
        and (is_here or _index_blob(after, path) in {"", file.head_blob})
    ]


def index_blobs(state: CheckoutState, paths: Collection[str]) -> dict[str, str]:
    """Returns what is staged of those of the files that are not staged as they are committed."""
    return {path: blob for path in paths if (blob := _index_blob(state, path))}


def _index_blob(state: CheckoutState, path: str) -> str:
    """Returns what the index has of a file that is not as it is committed; empty for any other."""
    mark = state.files.get(path, "")
    return mark.split(" ")[7] if mark.startswith("1 ") else ""


def missing_files(before: CheckoutState, after: CheckoutState, top: Path) -> list[str]:
    """Returns `missing_edits` without those that are there as they were."""
    return [path for path in missing_edits(before, after) if not _is_kept(before, top, path)]


def _is_kept(before: CheckoutState, top: Path, path: str) -> bool:
    """Returns whether a new file, or one of a repository inside, is there as it was, whatever git calls it now."""
    mark, now = before.files.get(path, ""), mark_of(top / path)
    is_apart = mark.startswith("? ") or any(path.startswith(f"{folder}/") for folder in before.inner)
    return is_apart and bool(now) and mark.endswith(f" {now}")


def _stash_losses(
    before: CheckoutState, after: CheckoutState, commands: Collection[command_log.GitCommand], *, in_worktree: bool
) -> list[str]:
    """Returns the commits of entries that are gone from the stash."""
    tips = before.refs.get(_STASH, ""), after.refs.get(_STASH, "")
    # By git an entry below the last one goes by its name only; with all others of them its log was removed.
    is_answerable = not in_worktree and tips[0] == tips[1]
    if not is_answerable and not any(command.drops_stash() for command in commands):
        return []
    if not before.stash:
        return [tips[0]] if tips[0] and not tips[1] else []
    return [entry for entry in before.stash if entry not in after.stash]


def removals(before: CheckoutState, after: CheckoutState, commands: Collection[command_log.GitCommand]) -> list[str]:
    """Returns which other worktrees an attempt removed by force."""
    paths = sorted(before.worktrees - after.worktrees) if any(command.forces_removal() for command in commands) else []
    names = [problems.in_backticks(merge_rules.printable([path])) for path in paths]
    return [f"the worktree {name} was removed by force, with what was not committed in it" for name in names]


def _checkout_moves(before: CheckoutState, after: CheckoutState) -> Iterator[str]:
    """Yields how what is checked out moved, or its branch."""
    ref = f"{_BRANCHES}{before.branch}"
    is_moved = before.refs.get(ref, "") != after.refs.get(ref, "")
    if before.branch != after.branch or not is_moved:
        yield from _head_moves(before, after)
    if is_moved:
        yield f"{_name(ref)} {_move(before.refs.get(ref, ''), after.refs.get(ref, ''))}"


def _head_moves(before: CheckoutState, after: CheckoutState) -> Iterator[str]:
    """Yields that another branch is checked out, or another commit where none is."""
    if before.branch != after.branch:
        yield f"`{after.branch}` is checked out instead of `{before.branch}`"
    elif before.head != after.head and f"{_BRANCHES}{after.branch}" not in after.refs:
        yield f"the detached commit went from {before.head[:12]} to {after.head[:12]}"


def refusal(moves: Collection[str], *, in_worktree: bool = True) -> str:
    """Returns why an attempt that moved the user's branches, or what is checked out, is no success."""
    lead = f"It moved what is the user's own: {'; '.join(moves)}."
    where = "`git reflog` in the checkout says where it was."
    if not in_worktree:
        lead = f"It, or somebody else meanwhile, moved what is the user's own: {'; '.join(moves)}."
        return f"{lead} Only the user commits and switches branches there. Nothing was put back: {where}"
    return (
        f"{lead} Work belongs into the worktree; it is merged there, and applied when the user says so. What is in the "
        f"worktree is kept and not merged, and nothing was put back: {where}"
    )


def _differs(before: CheckoutState, after: CheckoutState, path: str) -> bool:
    """Returns whether a file changed; what was committed or reset meanwhile and kept its contents did not."""
    pair = before.files.get(path, ""), after.files.get(path, "")
    if pair[0] == pair[1]:
        return False
    return before.head == after.head or "" not in pair


def _differing(before: CheckoutState, after: CheckoutState, path: str) -> bool:
    return before.settings.get(path, "") != after.settings.get(path, "")


def missing_settings(before: CheckoutState, after: CheckoutState) -> list[str]:
    """Returns the files that steer git and are gone, or of which nothing is left but what a new repository has."""
    return [
        path
        for path, mark in before.settings.items()
        if mark and not path.endswith(_SAMPLE) and _is_bare(mark, after.settings.get(path, ""))
    ]


def _is_bare(before: str, after: str) -> bool:
    sections, now = before.split("\n")[1:], after.split("\n")[1:]
    return not after or (bool(sections) and not set(sections).intersection(now))


def _moves(before: CheckoutState, after: CheckoutState) -> Iterator[str]:
    """Yields what became of the branch that is checked out, and of every ref."""
    yield from _head_moves(before, after)
    refs = [
        ref
        for ref in {**before.refs, **after.refs}
        if before.refs.get(ref) != after.refs.get(ref) and ref.startswith(tuple(_KINDS))
    ]
    for ref in sorted(refs)[:NAMED]:
        yield f"{_name(ref)} {_move(before.refs.get(ref, ''), after.refs.get(ref, ''))}"
    if len(refs) > NAMED:
        yield f"{len(refs) - NAMED} more branches and tags"


def _name(ref: str) -> str:
    kinds = {**_KINDS, **_OTHERS}
    head = next(head for head in kinds if ref.startswith(head))
    name = ref.removeprefix(head)
    return f"{kinds[head]}{problems.in_backticks(merge_rules.printable([name])) if name else ''}"


def _move(before: str, after: str) -> str:
    if not before:
        return f"is new, at {after[:12]}"
    return f"went from {before[:12]} to {after[:12]}" if after else f"is gone (it was at {before[:12]})"


def _inner_folders(top: Path, names: Sequence[str], entries: Sequence[str]) -> list[str]:
    """Returns the filled submodules, and the repositories that git calls new or moved, the first of very many."""
    words = [_split(entry) for entry in entries]
    folders = [path.rstrip("/") for kind, path in words if path.endswith("/") or kind[5:6] == "S"]
    paths = dict.fromkeys([*names, *folders])
    return [path for path in paths if foreign_repositories.git_directory(top / path) is not None][:MAX_INNER]


def _inner_state(folder: Path, status: str) -> CheckoutState:
    """Returns a repository inside of the checkout without its files; its refs are read without git, which is slow."""
    header, git_dir = _header(status.split("\0")), foreign_repositories.git_directory(folder) or folder
    common = foreign_repositories.common_directory(git_dir)
    branch, head = header.get("branch.head", ""), header.get("branch.oid", "")
    return CheckoutState(branch, head, _plain_refs(common), stash=_stash(common), git_dir=str(git_dir))


def _plain_refs(common: Path) -> dict[str, str]:
    """Returns the refs in the files of a git directory with their commits; none where git keeps them otherwise."""
    refs = dict[str, str]()
    with contextlib.suppress(OSError):
        pairs = (
            line.split(" ") for line in (common / "packed-refs").read_text("utf-8", "surrogateescape").splitlines()
        )
        refs = {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and merge_rules.is_object(pair[0])}
    for path in itertools.islice((common / "refs").rglob("*"), MAX_LOOSE):
        with contextlib.suppress(OSError):
            commit = path.read_text("utf-8", "replace").strip() if path.is_file() else ""
            refs |= {path.relative_to(common).as_posix(): commit} if merge_rules.is_object(commit) else {}
    return {ref: commit for ref, commit in refs.items() if not ref.startswith(_OURS)}


def _other_worktrees(common: Path, home: Path) -> Iterator[str]:
    """Yields the folders of a repository's linked worktrees that are there, but for those below our `home`."""
    for mark in sorted(common.glob("worktrees/*/gitdir")):
        with contextlib.suppress(OSError):
            place = Path(mark.read_text("utf-8", "surrogateescape").strip())
            if place.exists() and not place.is_relative_to(home.absolute()):
                yield str(place.parent)


def _stash(common: Path) -> tuple[str, ...]:
    """Returns the commits of the stash's entries, of which only the last one is a ref; none without git's log of it."""
    try:
        with (common / "logs" / _STASH).open("rb") as file:
            lines = file.read(STASH_BYTES).split(b"\n")
    except OSError:
        return ()
    entries = [line.split(b" ", 2) for line in lines]
    return tuple(fields[1].decode("ascii", "replace") for fields in entries if len(fields) > 1)


def _header(entries: Collection[str]) -> dict[str, str]:
    return {key: text for key, _, text in (entry[2:].partition(" ") for entry in entries if entry[:2] == "# ")}


def _marks(top: Path, entries: Collection[str]) -> dict[str, str]:
    """Returns a mark for each file that git names, without litter."""
    words = {path: words for words, path in map(_split, entries) if path and not merge_rules.is_litter(path)}
    return {path: f"{text} {mark_of(top / path)}" for path, text in words.items()}


def _split(entry: str) -> tuple[str, str]:
    """Returns the words and the path of an entry of porcelain v2; no path for a header."""
    *words, path = entry.split(" ", _BLANKS_BEFORE_PATH.get(entry[:1], 0))
    return (" ".join(words), path) if entry[:1] in _BLANKS_BEFORE_PATH else ("", "")


def mark_of(path: Path) -> str:
    """Returns what tells two states of a file apart without reading it; empty when it is not there."""
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return ""
    return f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns}"


def _setting(path: Path) -> str:
    """Returns a mark of a file that steers git, and the sections of one that has some, each on its line."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    sections = _SECTION.findall(content.decode("utf-8", "replace")) if path.name.startswith("config") else []
    return "\n".join([hashlib.sha256(content).hexdigest(), *sections])
