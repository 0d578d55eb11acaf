"""What README and guide tell a reader to type is typed here, page by page, and what they show is what comes out.

In a page, a `sh` block holds commands, a `python` block a program, and a `text` block what the commands above it print. What
cannot run here has `<!-- not run: WHY -->` on the line before the block, and is listed in `NOT_RUN`. Runs are shortened
(`SHORTER`), so that of what trained nets print only the words of each line are compared; `...` stands for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from harkd.__main__ import COMMANDS, main
from harkd.commands import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SHORTER = {
    "train": ("--epochs", "1", "--patience", "0"),
    "distill": ("--epochs", "1", "--patience", "0", "--teacher-epochs", "1", "--teacher-patience", "0"),
    "demo": ("--seeds", "1"),
    "compare": ("--epochs", "1", "--teacher-epochs", "1", "--folds", "2", "--seeds", "1", "--no-export"),
}
"""Appended to a command; the last one of two equal flags counts. Runs on the reader's own recordings take seconds as they are."""
OWN = "recordings.toml"
EXACT = {"list", "augment", "data", "--version"}
"""Commands whose output is compared to the last digit: it depends on no trained net."""
NOT_RUN = {
    ("README.md", "pip install -c constraints.txt -e ."),
    ("README.md", "pip install -c constraints.txt -e '.[export]'"),
    ("docs/own-data.md", "harkd data fetch uci_hapt"),
    ("docs/own-data.md", "harkd data prepare uci_hapt"),
    ("docs/cluster.md", "pip install -c constraints.txt 'harkd[ray]'"),
    ("docs/cluster.md", "ray start --head --port 6379 --disable-usage-stats"),
    ("docs/cluster.md", "ray start --address HEAD:6379"),
    (
        "docs/cluster.md",
        "harkd compare --data seglearn_watch --student dscnn-s --teacher dscnn-m --method kd --augment none,jeon_mix1 "
        "--executor ray --address HEAD:6379",
    ),
    ("docs/compare.md", "harkd compare --recipe benchmarks/studies/hapt_jeon/study.toml --out hapt_jeon"),
    ("docs/compare.md", "harkd compare --recipe benchmarks/studies/seglearn_jeon/study.toml --out seglearn_jeon"),
}
"""The commands that no test runs: they install, or need a network, what it brings, or a cluster."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its fence, `why` why it is not run."""

    kind: str
    text: str
    line: int
    why: str = ""

    @property
    def commands(self) -> list[list[str]]:
        """The words of every line, without comments; a line that ends with a backslash goes on."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = page.splitlines()
    start, why = 0, ""
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            told = re.fullmatch(r"<!-- not run: (.+) -->", line)
            why = told[1] if told else why if start else ""
        elif start:
            found.append(Block(lines[start - 1].removeprefix("```"), "\n".join(lines[start : number - 1]) + "\n", start, why))
            start, why = 0, ""
        else:
            start = number
    assert not start, f"line {start}: the block is never closed"
    return found


def run_page(page: str) -> None:
    """Run the blocks of a page, in order, in the current folder."""
    printed, exact = "", True
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.kind == "sh":
            ran = [] if block.why else [run(words, block.line) for words in block.commands]
            printed, exact = "".join(ran), all(words[1] in EXACT for words in block.commands if words[0] == "harkd")
        elif block.kind == "python":
            # Every training for one epoch: the guide's own numbers of epochs take minutes.
            program = re.sub(r"\bepochs=\d+", "epochs=1", block.text)
            with contextlib.redirect_stdout(io.StringIO()) as told:
                exec(compile("\n" * block.line + program, "page", "exec"), names)
            printed, exact = told.getvalue(), False
        elif block.kind == "text":
            compare(block, printed, exact)


def run(words: list[str], line: int) -> str:
    """Run one command: what it printed.

    `make TARGET` is one if the Makefile has the target, and is left to those who have a machine to set up.
    """
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert words[1] in targets, f"line {line}: the Makefile has no target {words[1]}"
        return ""
    assert words[0] == "harkd", f"line {line}: only harkd and make are run, not {shlex.join(words)}; say <!-- not run: WHY -->"
    source = Path(words[words.index("<") + 1]).read_text(encoding="utf-8") if "<" in words else ""
    given = words[1 : words.index("<")] if "<" in words else words[1:]
    told, complaint = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(told), contextlib.redirect_stderr(complaint):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.encode())))
        code = main([*given, *(() if OWN in given else SHORTER.get(given[0], ()))])
    assert code == 0, f"line {line}: {shlex.join(words)} ended with {code}: {complaint.getvalue()}"
    return told.getvalue()


def compare(block: Block, printed: str, exact: bool) -> None:
    """Compare what a page shows with what was printed; of trained nets, each line shown must be there, numbers aside."""
    if exact:
        good = doctest.OutputChecker().check_output(block.text, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    else:
        shown = {words_only(line) for line in block.text.splitlines()} - {"", "..."}
        good = shown <= {words_only(line) for line in printed.splitlines()}
    assert good, f"line {block.line}: the page shows\n{block.text}\nand this was printed\n{printed}"


def words_only(text: str) -> str:
    """A line with every number as 0.

    >>> words_only("dscnn-s alone  4,911  83.3%  8: +1.5e-3")
    'dscnn-s alone 0 0% 0: 0'
    """
    return " ".join(re.sub(r"(?<![\w.])[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?", "0", text).split())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: recordings of their own, and a demo whose nets train for one epoch."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for person in range(1, 7):
        for movement in MOVEMENTS:
            write_recording(folder / f"p{person:02}_{movement}.csv", person, [movement])
    write_recording(tmp_path / "newcomer.csv", 7, ["rest", "walk", "run", "walk"])
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    demo = (cli.RECIPES / "demo.toml").read_text(encoding="utf-8")
    (recipes / "demo.toml").write_text(re.sub(r"(?m)^((?:teacher_)?epochs) = \d+$", r"\1 = 1", demo), encoding="utf-8")
    monkeypatch.setattr(cli, "RECIPES", recipes)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


MOVEMENTS = {"rest": (0.3, 0.01, 3.0), "walk": (1.7, 0.3, 90.0), "run": (2.7, 0.9, 200.0)}
"""Tempo in Hz, swing in g, turning in degrees per second."""


def write_recording(path: Path, person: int, movements: Sequence[str]) -> None:
    """Twelve seconds of each movement on a wrist at 50 Hz, with gravity on z."""
    parts = []
    for number, (tempo, swing, turn) in enumerate(MOVEMENTS[movement] for movement in movements):
        rng = np.random.default_rng([person, number, *movements[number].encode()])
        t = np.arange(600)[:, None] / 50
        phase = (
            np.linspace(0, 0.6, 6) + rng.random() + 0.03 * rng.normal(size=6)
        )  # of the axes to each other: alike in all people
        wave = np.sin(2 * np.pi * (tempo * rng.uniform(0.9, 1.1) * t + phase)) + 0.1 * rng.normal(size=(600, 6))
        parts.append(np.hstack([[0.0, 0.1, 1.0] + swing * wave[:, :3], turn * wave[:, 3:]]))
    signals = np.vstack(parts)
    table = np.hstack([np.arange(len(signals))[:, None] / 50, signals])
    np.savetxt(path, table, "%.4f", ",", header="time,ax,ay,az,gx,gy,gz", comments="")


def needs_export(page: str) -> bool:
    """Whether a page calls on the export tools."""
    return any(
        {"export", "predict", "stream", "demo"} & set(words) for b in blocks(page) if b.kind == "sh" for words in b.commands
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_command_of_the_page_works_and_prints_what_is_shown(path: Path, desk: Path) -> None:
    page = path.read_text(encoding="utf-8")
    if needs_export(page) and not find_spec("litert_torch"):
        pytest.skip("needs harkd[export]")
    run_page(page)


def test_what_is_not_run_is_known() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), shlex.join(words))
        for path in PAGES
        for block in blocks(path.read_text(encoding="utf-8"))
        if block.why
        for words in block.commands
    }
    assert found == NOT_RUN


def test_commands_stand_in_blocks_of_a_known_kind() -> None:
    """An indented or unnamed block would not be run."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        assert {block.kind for block in blocks(page)} <= {"sh", "python", "text", "toml", "csv"}, path.name
        assert not re.findall(r"(?m)^ {4}(?:harkd|make|pip) .*", re.sub(r"(?ms)^```.*?^```", "", page)), path.name


def test_commands_within_sentences_exist() -> None:
    for path in PAGES:
        for command in re.findall(r"`harkd ([a-z]+)", path.read_text(encoding="utf-8")):
            assert command in COMMANDS, f"{path.name} speaks of harkd {command}"


# The machinery itself


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        (
            "```sh\nharkd data inf seglearn_watch\n```\n",
            "line 1: harkd data inf .* ended with 2: .*did you mean.*info",
        ),
        ("\n\n```sh\nharkd list nets --sorted\n```\n", "line 3: .*unknown option --sorted"),
        ("```sh\nharkd list methods | head\n```\n", "ended with 2"),
        ("```sh\nrm -r runs\n```\n", "only harkd and make are run"),
        ("```sh\nmake coffee\n```\n", "no target coffee"),
        ("```sh\nharkd --version\n```\n\n```text\nharkd 17\n```\n", "the page shows.*harkd 17.*was printed.*harkd 0"),
        ("```sh\nharkd --version\n", "line 1: the block is never closed"),
    ],
)
def test_a_mistake_in_a_page_is_found(page: str, complaint: str, desk: Path) -> None:
    with pytest.raises(AssertionError, match=f"(?s){complaint}"):
        run_page(page)


def test_a_mistake_in_a_program_is_found(desk: Path) -> None:
    with pytest.raises(AttributeError, match="lod"):
        run_page('```python\nimport harkd\nharkd.lod("seglearn_watch")\n```\n')


def test_blocks_commands_and_marks() -> None:
    fetch = "<!-- not run: no network -->\n```sh\nharkd data fetch x  # soon\nharkd train \\\n    --net a\n```\n"
    page = f"a\n{fetch}b\n```sh\nmake test\n```\n"
    first, second = blocks(page)
    assert (first.kind, first.line, first.why) == ("sh", 3, "no network")
    assert first.commands == [["harkd", "data", "fetch", "x"], ["harkd", "train", "--net", "a"]]
    assert (second.line, second.why, second.commands) == (9, "", [["make", "test"]])


def test_numbers_of_trained_nets_do_not_count_but_their_words_do() -> None:
    block = Block("text", "dscnn-s alone  4,911  83.3%\n...\nrun: runs/x\n", 1)
    compare(block, "dscnn-s  alone 4,911  17.0%\n\nanything\nrun: runs/x\n", exact=False)
    with pytest.raises(AssertionError):
        compare(block, "dscnn-s distilled  4,911  83.3%\nrun: runs/x\n", exact=False)
    with pytest.raises(AssertionError):
        compare(block, "dscnn-s alone  4,911  83.4%\n\nrun: runs/x\n", exact=True)
