"""The command line as such: what is asked for wrongly is told in one line, and streams carry what they should."""

import io
import json
import os
import pty
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import harkd.commands.list
from harkd.__main__ import COMMANDS, main
from harkd.commands import augment
from harkd.commands.check import arguments, flags
from harkd.commands.data import ACTIONS
from harkd.commands.table import table
from harkd.options import METHOD_OPTIONS, Pair, Train

METHODS = ", ".join(sorted(METHOD_OPTIONS))

MISTAKES = [
    # commands
    ("trian", "unknown command 'trian': did you mean 'train'? (choose from augment, compare, data, demo, "),
    ("Train", "unknown command 'Train': did you mean 'train'?"),
    ("xyz", "unknown command 'xyz' (choose from augment, compare, data, "),
    ("--versoin", "unknown option --versoin: did you mean --version?"),
    ("--seed 3 train", "unknown option --seed: options come after a command; see harkd --help"),
    # options that do not exist, here
    ("train --ent dscnn-xs", "unknown option --ent: did you mean --net?"),
    ("train --epoch=3", "unknown option --epoch: did you mean --epochs?"),
    ("train --batch-size 3", "unknown option --batch-size: did you mean --batch?"),
    ("train --learning-rate 3", "unknown option --learning-rate: did you mean --rate?"),
    ("train --keep_epoch 3", "unknown option --keep_epoch: did you mean --keep-epochs?"),
    ("train -net dscnn-xs", "unknown option -net: did you mean --net?"),
    ("train -n dscnn-xs", "unknown option -n: see harkd train --help"),
    ("train --zzz", "unknown option --zzz: see harkd train --help"),
    ("train --", "unknown option --: see harkd train --help"),
    ("train --method kd", "unknown option --method: it belongs to harkd distill"),
    ("train --teacher dscnn-m", "unknown option --teacher: it belongs to harkd distill"),
    ("train --temperature 3", "unknown option --temperature: it belongs to harkd distill"),
    ("train --reciep x", "unknown option --reciep: did you mean --recipe?"),
    ("distill --net dscnn-xs", "unknown option --net: it belongs to harkd train; here there are --student and --teacher"),
    ("distill --sees all", "unknown option --sees: it belongs to harkd train"),
    ("distill --stop 0.5", "unknown option --stop: it belongs to --method eskd"),
    ("distill --method ce --weight 0.5", "unknown option --weight: it belongs to --method kd or eskd"),
    ("distill --method eskd --method kd --stop 0.5", "unknown option --stop: it belongs to --method eskd"),
    ("distill --wieght 0.5", "unknown option --wieght: did you mean --weight?"),
    ("distill --metod kd", "unknown option --metod: did you mean --method?"),
    ("evaluate x --device cpu", "unknown option --device: it belongs to harkd train and distill; see harkd evaluate --help"),
    ("evaluate --run x", "unknown option --run: see harkd evaluate --help"),
    ("demo --seed 3", "unknown option --seed: did you mean --seeds?"),
    ("list nets --jsn", "unknown option --jsn: did you mean --json?"),
    # values
    ("train --epochs", "--epochs needs a value; see harkd train --help"),
    ("train --epochs --batch 3", "--epochs needs a value; see harkd train --help"),
    ("train --epochs x", "--epochs takes a whole number; got 'x'"),
    ("train --epochs=", "--epochs takes a whole number; got ''"),
    ("train --epochs 1.5", "--epochs takes a whole number; got '1.5'"),
    ("train --rate fast", "--rate takes a number; got 'fast'"),
    ("train --keep-epochs 1 b", "--keep-epochs takes whole numbers, like --keep-epochs 1 2; got 'b'"),
    ("train --keep-epochs=1,2", "--keep-epochs takes whole numbers, like --keep-epochs 1 2; got '1,2'"),
    ("train --json=yes", "--json takes no value; got 'yes'"),
    ("train --no-force-augment=1", "--no-force-augment takes no value; got '1'"),
    ("train --schedule one", "unknown --schedule 'one'"),
    ("train --precision float16", "unknown --precision 'float16': did you mean 'bfloat16'? (choose from bfloat16, float32)"),
    ("distill --reduction sum", "unknown --reduction 'sum' (choose from batchmean, mean)"),
    ("distill --method ksd", f"unknown method 'ksd': did you mean 'kd'? (choose from {METHODS})"),
    ("distill --method", "--method needs a value"),
    ("distill --method --epochs 3", "--method needs a value"),
    ("train --epochs 0", "epochs is at least 1, got 0"),
    ("train --epochs -3", "epochs is at least 1, got -3"),
    ("train --rate nan", "rate is positive, got nan"),
    ("train --rate=-inf", "rate is positive, got -inf"),
    ("train --window -3", "window is at least 0, got -3"),
    ("train --threads -1", "threads is at least 0, got -1"),
    ("train --keep-epochs 61", "keep_epochs lie between 1 and epochs (60), got 61"),
    ("distill --weight 3", "weight lies between 0 and 1, got 3.0"),
    ("demo --seeds 0", "seeds is at least 1, got 0"),
    # words
    ("train dscnn-xs", "harkd train has no use for 'dscnn-xs': see harkd train --help"),
    ("train net dscnn-xs", "harkd train has no use for 'net': did you mean --net?"),
    ("list", "harkd list needs TOPIC: nets, methods, datasets; see harkd list --help"),
    ("list net", "unknown topic 'net': did you mean 'nets'?"),
    ("evaluate run another", "harkd evaluate has no use for 'another': see harkd evaluate --help"),
    ("data", "harkd data needs ACTION: list, info, fetch, check, prepare, preview, init, schema; see harkd data --help"),
    ("data inof x", "unknown ACTION of harkd data 'inof': did you mean 'info'?"),
    ("data info", "harkd data info needs NAME"),
    ("data list seglearn_watch", "harkd data list takes no name; did you mean harkd data info seglearn_watch?"),
    ("evaluate", "harkd evaluate needs RUN; see harkd evaluate --help"),
    ("evaluate a b", "harkd evaluate has no use for 'b'"),
    ("evaluate x --part tset", "unknown --part 'tset': did you mean 'test'?"),
    ("report", "harkd report needs RUNS; see harkd report --help"),
    # names that are looked up
    ("data info sglearn_watch", "unknown data set 'sglearn_watch': did you mean 'seglearn_watch'?"),
    ("data info nowhere.toml", "nowhere.toml: no such file"),
    ("train --data nowhere.toml", "nowhere.toml: no such file"),
    ("train --net dscnn-q", "unknown net 'dscnn-q': did you mean 'dscnn-s'?"),
    ("train --net wrn1d-11-1", "wrn1d-11-1: the depth is 6 n + 4"),
    ("train --sees wirst_acc", "unknown sensor 'wirst_acc': did you mean 'wrist_acc'?"),
    ("train --split kfold:3", "unknown split 'kfold:3': did you mean 'kfold:K/I'?"),
    ("train --split loso:11", "unknown subject '11': did you mean '1'?"),
    ("train --augment rotat(15)", "strategy 'rotat(15)', position 1: unknown augmentation 'rotat': did you mean 'rotate'?"),
    ("train --device abacus", "device 'abacus' cannot be used here"),
    ("train --recipe demo", "is a recipe for harkd distill (it says 'student'), not for harkd train"),
    ("distill --recipe dmo", "unknown recipe 'dmo': did you mean 'demo'?"),
    ("distill --recipe ./dmo", "dmo: no such file"),
    ("distill --recipe .", ". is a folder, and a recipe is a TOML file"),
    ("distill --teacher nobody", "unknown net 'nobody'"),
    ("distill --teacher ./nobody", "nobody: no such folder; give the folder of a finished run"),
    ("distill --teacher .", ". holds no run of harkd"),
    ("distill --teacher-augment rotat", "unknown augmentation 'rotat': did you mean 'rotate'?"),
    ("evaluate nowhere", "nowhere: no such folder; give the folder of a finished run"),
    ("evaluate .", ". holds no run of harkd"),
    ("report nowhere", "nowhere: no such folder; give the folder of a finished run"),
    ("report .", ". holds no finished run"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line(harkd: Any, tmp_path: Path, line: str, message: str) -> None:
    told = harkd(*line.split(" "))
    assert told.code == 2
    assert told.out == ""
    assert told.err.startswith("harkd: ")
    assert message in told.err
    assert told.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_the_usage_is_told(harkd: Any) -> None:
    told = harkd()
    assert (told.code, told.err) == (2, "")
    assert told.out == harkd("--help").out == harkd("-h").out == harkd("help").out
    assert all(f"\n  {name:<10} {about}\n" in told.out for name, about in COMMANDS.items())
    assert harkd("--help").code == harkd("help").code == 0
    assert max(map(len, told.out.splitlines())) <= 80


def test_the_version(harkd: Any) -> None:
    assert harkd("--version").out == f"harkd {version('harkd')}\n"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("columns", ["40", "80"])
def test_every_help_tells_every_option_in_plain_text(
    harkd: Any, monkeypatch: pytest.MonkeyPatch, command: str, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    told = harkd(command, "--help")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"usage: harkd {command}")
    assert "\x1b" not in told.out
    assert not any(line != line.rstrip() for line in told.out.splitlines())
    assert max(map(len, told.out.splitlines())) <= int(columns)
    wanted = {
        "train": flags(Train),
        "distill": [*flags(Pair), "--temperature"],
        "data": list(ACTIONS),
        "augment": list(augment.ACTIONS),
    }
    assert all(flag in told.out for flag in wanted.get(command, ["--json"]))


@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "list"])
def test_every_action_of_data_has_a_help(harkd: Any, action: str) -> None:
    told = harkd("data", action, "--help")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"usage: harkd data {action}")


def test_the_help_of_distill_is_about_the_method_that_is_asked_for(harkd: Any) -> None:
    assert "--stop" not in harkd("distill", "--help").out
    assert "--stop" in harkd("distill", "--method", "eskd", "--help").out
    assert "--weight" not in harkd("distill", "--help", "--method=ce").out.replace("--weight-decay", "")


def test_the_help_shows_what_a_recipe_says(harkd: Any) -> None:
    assert "(default: eskd)" in " ".join(harkd("distill", "--recipe", "demo", "--help").out.split())


def test_spellings_of_one_option(harkd: Any) -> None:
    """--keep-epochs, --keep_epochs and --keep-epochs= are one: each refuses the value, none is unknown."""
    for words in (["--keep-epochs", "0"], ["--keep_epochs", "0"], ["--keep-epochs=0"], ["--keep_epochs=0"]):
        assert harkd("train", *words).err == "harkd: keep_epochs lie between 1 and epochs (60), got 0\n"


def test_arguments_are_known_by_type() -> None:
    found = {argument.name: argument for argument in arguments(Train)}
    assert found["keep_epochs"].many
    assert not found["epochs"].many
    assert found["keep_epochs"].flag == "--keep-epochs"
    topic, words, as_json = arguments(harkd.commands.list.List)
    assert (topic.positional, topic.required) == (True, True)
    assert (words.positional, words.required, words.many) == (True, False, True)
    assert (as_json.positional, as_json.required, as_json.kind) == (False, False, bool)


# Tables


ROWS = [
    {"name": "dscnn-xs", "parameters": 1263, "share": "5.0%", "about": "depthwise-separable CNN for watches"},
    {"name": "a wide one", "parameters": 1118343, "share": "100.0%", "about": "wide"},
]


def test_a_table_as_wide_as_it_takes() -> None:
    assert table(ROWS, None) == [
        "name        parameters   share  about",
        "dscnn-xs         1,263    5.0%  depthwise-separable CNN for watches",
        "a wide one   1,118,343  100.0%  wide",
    ]
    assert table(ROWS, 67) == table(ROWS, None)


def test_a_table_wraps_its_widest_texts() -> None:
    assert table(ROWS, 58) == [
        "name        parameters   share  about",
        "dscnn-xs         1,263    5.0%  depthwise-separable CNN",
        "                                for watches",
        "a wide one   1,118,343  100.0%  wide",
    ]


def test_a_table_that_cannot_be_narrow_enough_becomes_blocks() -> None:
    lines = table(ROWS, 30)
    assert lines[:5] == [
        "name: dscnn-xs",
        "  parameters: 1,263",
        "  share: 5.0%",
        "  about: depthwise-separable",
        "  CNN for watches",
    ]
    assert len(lines) == 9


@pytest.mark.parametrize("columns", [20, 30, 40, 55, 80, 200])
@pytest.mark.parametrize("topic", ["nets", "methods", "datasets"])
def test_narrow_listings_lose_nothing(harkd: Any, monkeypatch: pytest.MonkeyPatch, topic: str, columns: int) -> None:
    wide = harkd("list", topic).out
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = harkd("list", topic).out
    assert max(map(len, narrow.splitlines())) <= columns
    squeezed = "".join(narrow.split())
    for line in wide.splitlines()[1:]:
        assert all("".join(cell.split()) in squeezed for cell in line.split("  ") if cell) or columns > 30
    # In a table, words of one cell stand on lines of their own, between those of others: none may be lost or cut.
    words = Counter(wide.split()[len(wide.splitlines()[0].split()) :])
    assert not words - Counter(narrow.split()) or columns <= 30


def test_words_narrow_a_list_down_and_tell_all(harkd: Any) -> None:
    every = harkd("list", "methods", "--json").json
    named = harkd("list", "methods", "skkd", "camkd", "--json").json
    assert named == [row for row in every if row["name"] in ("skkd", "camkd")]
    found = harkd("list", "methods", "Abstract", "snapshot", "--json").json
    assert [row["name"] for row in found] == ["iskd"]
    told = harkd("list", "methods", "skkd").out
    assert all(str(named[0][column]) in told for column in ("name", "source", "evidence"))
    assert "evidence" not in harkd("list", "methods").out.splitlines()[0]
    nothing = harkd("list", "nets", "eegnet", "marmalade")
    assert (nothing.code, nothing.out) == (2, "")
    assert "none of the nets has eegnet and marmalade in what is told of it" in nothing.err


# Streams


class Closed(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("words", [["list", "nets"], ["list", "nets", "--json"], ["train", "--help"], ["--help"], ["--version"]])
def test_a_reader_that_has_seen_enough_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(words) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["list", "nets"], ["train", "--help"], ["--help"]])
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(words) == 1
    assert capsys.readouterr().err == "harkd: No space left on device\n"


def test_without_standard_error_nothing_strays_into_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["trian"]) == 2
    assert capsys.readouterr().out == ""


def started(*words: str, **more: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "harkd", *words], **more)


def test_pipes_of_a_shell() -> None:
    """What Python does when it exits is part of it: it flushes standard output again."""
    pipe = subprocess.PIPE
    with started("train", "--help", stdout=pipe, stderr=pipe) as gone, open("/dev/full", "wb") as full:
        assert gone.stdout is not None
        assert gone.stderr is not None
        gone.stdout.close()
        assert (gone.wait(60), gone.stderr.read()) == (0, b"")
        with started("train", "--help", stdout=full, stderr=pipe) as stuck:
            assert stuck.stderr is not None
            assert (stuck.wait(60), stuck.stderr.read()) == (1, b"harkd: No space left on device\n")


def on_a_terminal(words: list[str], **environment: str) -> tuple[int, str]:
    """Run on a pseudo-terminal of its own: exit code and what the terminal got."""
    mine, its = pty.openpty()
    with started(*words, stdin=its, stdout=its, stderr=its, env=os.environ | environment) as process:
        os.close(its)
        got = bytearray()
        try:
            while part := os.read(mine, 65536):
                got += part
        except OSError:  # how Linux says that the other end is closed
            pass
        return process.wait(60), got.decode()


def test_a_training_on_a_narrow_terminal_without_colours(world: Any, tmp_path: Path) -> None:
    code, got = on_a_terminal([*world.train, "--out", str(tmp_path / "run")], NO_COLOR="1", COLUMNS="40", TERM="xterm")
    assert code == 0, got
    assert "epoch 8/8" in got
    assert "\x1b[3" not in got  # colours; the cursor still moves
    assert "\x1b[9" not in got
    plain = got.replace("\r\n", "\n").split("\n")
    assert "\x1b[?25hrun: dscnn-xs alone" in plain
    assert any(line.startswith("  worst subject: person-4: ") for line in plain)


# One JSON document, and nothing else


@pytest.mark.parametrize(
    "words",
    [
        lambda w, t, d: ["list", "nets"],
        lambda w, t, d: ["list", "methods"],
        lambda w, t, d: ["augment", "list"],
        lambda w, t, d: ["list", "datasets"],
        lambda w, t, d: ["data", "list"],
        lambda w, t, d: ["data", "info", str(w.card), "--data-folder", str(w.folder)],
        lambda w, t, d: ["evaluate", str(t)],
        lambda w, t, d: ["report", str(t)],
        lambda w, t, d: [*w.train, "--epochs", "1"],
        lambda w, t, d: [*w.distill, "--epochs", "1", "--teacher-epochs", "1"],
        lambda w, t, d: [*w.train, "--out", str(t), "--recipe", str(t / "config.toml")],
    ],
    ids=[
        "nets",
        "methods",
        "augment list",
        "datasets",
        "data list",
        "data info",
        "evaluate",
        "report",
        "train",
        "distill",
        "again",
    ],
)
def test_json_is_pure(harkd: Any, world: Any, trained: Path, distilled: Path, words: Callable[..., list[str]]) -> None:
    told = harkd(*words(world, trained, distilled), "--json")
    assert told.code == 0, told.err

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    assert json.loads(told.out, parse_constant=refuse)
    assert told.out.isascii()


def test_a_failure_leaves_no_json(harkd: Any) -> None:
    told = harkd("evaluate", "nowhere", "--json")
    assert (told.code, told.out) == (2, "")


def test_a_command_that_is_interrupted_before_it_can_save(monkeypatch: pytest.MonkeyPatch, harkd: Any) -> None:
    def interrupted(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("harkd.commands.list.main", interrupted)
    told = harkd("list", "nets")
    assert (told.code, told.out, told.err) == (130, "", "harkd: interrupted\n")


def test_a_file_that_may_not_be_read_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, harkd: Any) -> None:
    def denied(argv: list[str]) -> int:
        raise PermissionError(13, "Permission denied", "secrets.csv")

    monkeypatch.setattr("harkd.commands.list.main", denied)
    told = harkd("list", "nets")
    assert (told.code, told.err) == (1, "harkd: secrets.csv: Permission denied\n")
