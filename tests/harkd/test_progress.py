"""What a person sees of a run: bars on a terminal, a few plain lines anywhere else, and never anything on standard output."""

import io
import sys
from typing import Any

import pytest

from harkd.curriculum import Shuffle
from harkd.engine import Phase
from harkd.objectives import CrossEntropy
from harkd.progress import Display
from harkd.schedule import Progress


def phase(epochs: int) -> Phase:
    return Phase(epochs, {}, CrossEntropy(), [], Shuffle(), name="train")


def record(epoch: int, **scores: float) -> dict[str, Any]:
    watched = {name: {"accuracy": value, "nll": 1.0} for name, value in scores.items()}
    return {"epoch": epoch, "terms": {"ce": 0.25, "kl": 1.5, "gradient norm": 3.0}, "scores": watched}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich believes that it writes to a terminal of 100 columns."""
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("epochs", "lines"),
    [(1, [1]), (3, [1, 2, 3]), (5, [1, 2, 3, 4, 5]), (7, [2, 3, 5, 6, 7]), (10, [2, 4, 6, 8, 10]), (100, [20, 40, 60, 80, 100])],
)
def test_plain_lines_are_few_and_end_with_the_last_epoch(
    capsys: pytest.CaptureFixture[str], epochs: int, lines: list[int]
) -> None:
    with Display() as display:
        display.task("dscnn-s alone, seed 0")
        for epoch in range(epochs):
            display.step(phase(epochs), Progress(epoch, epochs, epoch, epochs))
            display.epoch(phase(epochs), record(epoch, student=0.875))
        display.done()
    told = capsys.readouterr()
    wanted = [f"dscnn-s alone, seed 0: epoch {n}/{epochs}  ce 0.250  kl 1.500  validation 87.5%  (0 s)" for n in lines]
    assert (told.err.splitlines(), told.out) == (wanted, "")


def test_without_scores_and_without_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.epoch(phase(1), record(0))
    assert capsys.readouterr().err.startswith("train: epoch 1/1  ce 0.250  kl 1.500  (")


def test_lines_that_stay(capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.say("runs/[a] is finished")
    assert capsys.readouterr() == ("", "runs/[a] is finished\n")


def test_lines_that_stay_on_a_terminal_are_not_markup_and_not_folded(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    line = "runs/[bold]" + "x" * 150
    with Display() as display:
        assert display.live
        display.say(line)
    told = capsys.readouterr()
    assert f"{line}\n" in told.err
    assert told.out == ""


def test_a_dumb_terminal_gets_plain_lines(
    terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with Display() as display:
        display.say("hello")
        display.task("student")
        display.epoch(phase(1), record(0))
    assert capsys.readouterr().err == "hello\nstudent: epoch 1/1  ce 0.250  kl 1.500  (0 s)\n"


def test_a_bar_for_every_task(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        for name, epochs in (("teacher [one]", 2), ("student", 4)):
            display.task(name)
            for epoch in range(epochs):
                display.step(phase(epochs), Progress(epoch, epochs, 10 * epoch + 10, 10 * epochs))
                display.epoch(phase(epochs), record(epoch, student=0.5))
            display.done()
        bars = [(bar.description, bar.completed, bar.total) for bar in display._bars.tasks]
    assert bars == [("teacher [one]", 20, 20), ("student", 40, 40)]
    told = capsys.readouterr()
    last = [line for line in told.err.replace("\r", "\n").split("\n") if "━" in line][-2:]
    assert [line.split()[-1] for line in last] == ["00:00", "00:00"]
    assert "teacher [one]" in last[0]
    assert "epoch 4/4  ce 0.250  kl 1.500" in last[1]
    assert told.out == ""


def test_a_task_that_stops_early_is_complete(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.task("student")
        display.step(phase(100), Progress(0, 100, 30, 1000))
        display.done()
        (bar,) = display._bars.tasks
    assert (bar.completed, bar.total, bar.finished) == (30, 30, True)


def test_done_before_anything_began(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.task("student")
        display.done()
    assert display._bars.tasks == []


def test_the_cursor_comes_back_after_a_failure(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Display():
        raise ZeroDivisionError
    assert capsys.readouterr().err.rstrip().endswith("\x1b[?25h")


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("stream", [Gone(), None], ids=["closed", "none"])
def test_nobody_reading_along_does_not_stop_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: Any
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with Display() as display:
        display.say("hello")
        display.epoch(phase(1), record(0))
    assert capsys.readouterr().out == ""
