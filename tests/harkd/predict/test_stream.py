"""A stream decides as `hear` and `decide` do on the whole recording, to the bit, whatever arrives how."""

from __future__ import annotations

import io
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harkd.datasets import Cut, Sensor, Windows
from harkd.errors import DataError, UsageError
from harkd.export.decide import Decisions, decide
from harkd.export.manifest import Manifest
from harkd.export.recording import hear
from harkd.export.runners import open_runner
from harkd.export.sources import Told
from harkd.export.stream import Decision, Stream, decisions

Make = Callable[..., Manifest]
One = tuple[NDArray[np.float32], Windows]
ACC = Sensor("wrist_acc", "acc", "g", 50.0, placement="wrist")
GYRO = Sensor("wrist_gyro", "gyro", "rad/s", 50.0, placement="wrist")
CLASSES = tuple(f"c{n}" for n in range(5))


def lines_of(columns: NDArray[Any]) -> list[bytes]:
    """(time, channel) as lines, every float32 in full; NaN as an empty cell."""
    return [",".join("" if v != v else f"{v:.9g}" for v in row).encode() + b"\n" for row in columns.tolist()]


def opened(folder: Path, manifest: Manifest, threshold: float = 0.0) -> Stream:
    return Stream(manifest, open_runner(folder, manifest.files[0]), threshold)


def whole(folder: Path, manifest: Manifest, path: Path, told: Told, threshold: float = 0.0) -> Decisions:
    """What harkd predict makes of a recording."""
    heard = hear(path, manifest, told)
    return decide(open_runner(folder, manifest.files[0])(heard.inputs), heard.spans, manifest.classes, threshold)


def same(found: Sequence[Decision], expected: Decisions) -> None:
    """The same windows, decisions and probabilities, to the bit."""
    assert [each.time for each in found] == expected.spans[:, 1].tolist()
    assert [each.decision for each in found] == expected.names()
    assert [each.probability for each in found] == expected.confidence.tolist()


def test_a_real_recording_is_decided_as_by_predict(one: One, watch_export: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder, manifest = watch_export
    lines = lines_of(one[0].T)
    (tmp_path / "one.csv").write_bytes(b"ax,ay,az,gx,gy,gz\n" + b"".join(lines))
    expected = whole(folder, manifest, tmp_path / "one.csv", Told(rate="50"), 0.5)
    found = list(decisions(lines, opened(folder, manifest, 0.5)))
    assert len({each.decision for each in found}) > 2
    same(found, expected)


@pytest.mark.parametrize(
    "preparation",
    [
        "",
        "resample()",
        "fill(0.2)+resample()",
        "limit(1.7, of=acc)",
        "limit(1.7, of=acc)+fill(0)",
        "lowpass(15, phase=causal)",
        "bandpass(0.5, 20, order=2, phase=causal)+resample()",
        "highpass(0.3, phase=causal, of=acc)+notch(12, phase=causal, of=gyro)",
        "gravity(phase=causal)",
        "gravity(0.4, order=2, phase=causal)+lowpass(10, phase=causal, of=wrist_acc_motion)",
    ],
)
@pytest.mark.parametrize(("cut", "rate"), [(Cut(128, 64), ""), (Cut(50, 7), "@20Hz"), (Cut(40, 60), ""), (Cut(33, 1), "@100Hz")])
def test_causal_preparation_gives_the_same_bits(
    preparation: str, cut: Cut, rate: str, one: One, export: Make, tmp_path: Path
) -> None:
    """Whatever the window, its step (also beyond its length) and the rate that the model sees."""
    rng = np.random.default_rng(0)
    manifest = export(
        [ACC, GYRO],
        cut=cut,
        sees=f"all{rate}",
        preparation=preparation,
        classes=CLASSES,
        means=rng.normal(size=(5, 9)),
        bias=rng.normal(size=5),
    )
    signals = one[0][:, :700]
    lines = lines_of(signals.T)
    (tmp_path / "one.csv").write_bytes(b"ax,ay,az,gx,gy,gz\n" + b"".join(lines))
    expected = whole(tmp_path / "export", manifest, tmp_path / "one.csv", Told(rate="50"))
    assert len(expected.spans) > 5
    if "limit" in preparation:
        away = np.abs(np.diff(expected.spans[:, 0]) - cut.step / 50)
        assert (away > 1e-9).any(), "nothing was beyond the limit"
    same(list(decisions(lines, opened(tmp_path / "export", manifest))), expected)


@pytest.mark.parametrize("step", [1, 40])
def test_a_common_reference_over_many_electrodes_gives_the_same_bits(step: int, export: Make, tmp_path: Path) -> None:
    """The stream takes all electrodes, although the model sees one: the mean is over all."""
    eeg = Sensor("eeg", "eeg", "uV", 100.0, channels=tuple(f"E{n}" for n in range(19)))
    means = np.array([[1.0], [-1.0], [0.0]])
    manifest = export([eeg], cut=Cut(80, step), sees="eeg[E4]", preparation="reference()", means=means)
    signals = np.random.default_rng(1).normal(size=(400, 19)).astype(np.float32)
    (tmp_path / "one.csv").write_bytes(",".join(eeg.channels).encode() + b"\n" + b"".join(lines_of(signals)))
    stream = opened(tmp_path / "export", manifest)
    assert len(stream.expects) == 19
    same(
        list(decisions(lines_of(signals), stream)),
        whole(tmp_path / "export", manifest, tmp_path / "one.csv", Told(rate="100")),
    )


@pytest.mark.parametrize("cut", [Cut(60, 25), Cut(30, 50), Cut(10, 90)])
def test_gaps_are_gone_round_as_by_predict(cut: Cut, export: Make, tmp_path: Path) -> None:
    """Also gaps among the samples that are passed over where windows lie apart."""
    rng = np.random.default_rng(3)
    signals = rng.normal(size=(1500, 3)).astype(np.float32)
    signals[rng.integers(0, 1500, 12), rng.integers(0, 3, 12)] = np.nan
    manifest = export(cut=cut, means=rng.normal(size=(3, 3)))
    (tmp_path / "one.csv").write_bytes(b"ax,ay,az\n" + b"".join(lines_of(signals)))
    expected = whole(tmp_path / "export", manifest, tmp_path / "one.csv", Told(rate="50"))
    assert len(expected.spans) > 12
    same(list(decisions(lines_of(signals), opened(tmp_path / "export", manifest))), expected)


def test_the_watchs_units_are_expected(one: One, export: Make, tmp_path: Path) -> None:
    """The model takes m/s2, its sensors are in g: a line in m/s2 gives what a recording said to be in m/s2 gives."""
    manifest = export(
        [ACC], units="m/s2", factor=1 / 9.80665, cut=Cut(128, 64), means=np.random.default_rng(0).normal(size=(3, 3))
    )
    lines = lines_of(9.80665 * one[0][:3].T)
    (tmp_path / "one.csv").write_bytes(b"ax,ay,az\n" + b"".join(lines))
    stream = opened(tmp_path / "export", manifest)
    assert stream.told() == "expects 3 numbers per line at 50 Hz in m/s2: wrist_acc.x, wrist_acc.y, wrist_acc.z"
    same(
        list(decisions(lines, stream)),
        whole(tmp_path / "export", manifest, tmp_path / "one.csv", Told(rate="50", units="wrist_acc=m/s2")),
    )


def test_a_header_says_order_and_units(export: Make, tmp_path: Path) -> None:
    """x at 1 g is `up` with a logit of 4, here from columns in another order, in mg, with a time that nobody needs."""
    folder, manifest = tmp_path / "export", export()
    for header, line in ((b"t,az,ay,ax\n", b"0,0,0,1\n"), (b"\xef\xbb\xbfaz;ay;ax\n", b"0;0;1\n"), (b"ax az ay\n", b" 1  0 0\n")):
        found = list(decisions(chain([header], repeat(line, 100)), opened(folder, manifest)))
        assert [each.decision for each in found] == ["up"]
        assert found[0].probability == pytest.approx(np.exp(4) / (np.exp(4) + 1 + np.exp(-4)))
    milli = list(decisions(chain([b"acc x (mg),acc y (mg),acc z (mg)\n"], repeat(b"1000,0,0\n", 100)), opened(folder, manifest)))
    assert milli == found


def test_a_window_is_decided_with_its_last_line(export: Make, tmp_path: Path) -> None:
    """Windows of 100 every 50: after the lines 100, 150, 200; not one line more is asked for."""
    seen: list[int] = []

    def counted() -> Iterator[bytes]:
        for number in range(1, 230):
            seen.append(number)
            yield b"1,0,0\n"

    manifest = export()
    assert [seen[-1] for _ in decisions(counted(), opened(tmp_path / "export", manifest))] == [100, 150, 200]


def test_memory_stays_bounded(export: Make, tmp_path: Path) -> None:
    """After any number of lines the stream holds less than a window."""
    manifest = export()
    stream = opened(tmp_path / "export", manifest)
    for _ in decisions(repeat(b"1,0,0\n", 5000), stream):
        assert all(x.shape[1] < 100 and x.base is None for x in stream._held.values())


@pytest.mark.parametrize(
    ("preparation", "told"),
    [
        ("lowpass(10)", "lowpass(high=10) also runs backward over the recording (phase=causal does not)"),
        ("gravity(0.3)", "gravity() also runs backward"),
        ("resample(25)", "turns 50 Hz into 25 Hz"),
        ("fit(64)", "fit(samples=64) stretches a whole recording"),
        ("euclidean(session, of=acc)", "needs the covariance of the whole recording"),
    ],
)
def test_preparation_that_needs_later_samples_is_refused(preparation: str, told: str, export: Make, tmp_path: Path) -> None:
    manifest = export(preparation=preparation)
    with pytest.raises(UsageError) as caught:
        opened(tmp_path / "export", manifest)
    assert told in str(caught.value)
    assert "harkd predict takes the whole recording" in str(caught.value)


def test_sensors_of_different_rates_are_refused(export: Make, tmp_path: Path) -> None:
    manifest = export([ACC, replace(GYRO, rate=25.0)], sees="wrist_acc")
    with pytest.raises(UsageError, match=r"different rates \(wrist_acc 50 Hz, wrist_gyro 25 Hz\)"):
        opened(tmp_path / "export", manifest)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([b"1,0,0\n"] * 6 + [b"1,0\n"], "line 7 has 2 values, expected 3 (expects 3 numbers per line at 50 Hz in g: wrist_acc.x"),
        ([b"1,0,0\n", b"\n", b"1,O,0\n"], "line 3, column 2: 'O' is not a number"),
        ([b"1,inf,0\n"], "line 1, column 2: 'inf' is not a number"),
        ([b"1,0,0\n", b"1_0,0,0\n"], "line 2, column 1: '1_0' is not a number"),
        ([b"\xff\xfe1\0\n"], "line 1 is not text"),
        ([b"0," * 40000], "line 1 is longer than 65536 bytes"),
        ([b"a,b,c\n"], "no columns for sensor 'wrist_acc': the recording has a, b, c"),
    ],
)
def test_a_bad_line_ends_the_stream_and_is_named(lines: Iterable[bytes], told: str, export: Make, tmp_path: Path) -> None:
    manifest = export()
    with pytest.raises(DataError) as caught:
        list(decisions(lines, opened(tmp_path / "export", manifest)))
    assert told in str(caught.value)


@pytest.mark.parametrize("preparation", ["fill(0.2)", "lowpass(10, phase=causal)", "gravity(phase=causal)"])
def test_a_missing_sample_ends_a_stream_that_cannot_do_without(preparation: str, export: Make, tmp_path: Path) -> None:
    manifest = export(preparation=preparation, sees="all")
    with pytest.raises(
        DataError, match=r"lines 1 to 100: a sample is missing, and (fill|lowpass|gravity).* cannot go on without it"
    ):
        list(decisions([*repeat(b"1,0,0\n", 30), b",,\n", *repeat(b"1,0,0\n", 80)], opened(tmp_path / "export", manifest)))


@pytest.fixture
def typed(harkd: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`harkd stream` with bytes on standard input."""

    def call(content: bytes, *words: str | Path) -> Any:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return harkd("stream", *words)

    return call


def test_a_line_for_each_decision(typed: Callable[..., Any], export: Make, tmp_path: Path) -> None:
    export(unknown=0.9)
    content = b"1,0,0\n" * 100 + b"-1,0,0\n" * 100
    said = typed(content, tmp_path / "export")
    assert said.code == 0
    assert said.out == "2.00\tup\t0.982\n3.00\tunknown\t0.333\n4.00\tdown\t0.982\n"
    assert said.err == "harkd: expects 3 numbers per line at 50 Hz in g: wrist_acc.x, wrist_acc.y, wrist_acc.z\n"
    rows = [json.loads(line) for line in typed(content, tmp_path / "export", "--json", "--unknown", "0").out.splitlines()]
    assert [row["decision"] for row in rows] == ["up", "still", "down"]
    assert rows[0] == {"time": 2.0, "decision": "up", "likeliest": "up", "probability": pytest.approx(0.98169, abs=1e-5)}


def test_too_few_lines_and_thresholds_that_are_none(typed: Callable[..., Any], export: Make, tmp_path: Path) -> None:
    export()
    said = typed(b"1,0,0\n" * 99, tmp_path / "export")
    assert said.code == 1
    assert "standard input ended before the first window was complete: 100 samples are needed" in said.err
    assert typed(b"", tmp_path / "export", "--unknown", "1.5").code == 2


def started(folder: Path, **more: Any) -> subprocess.Popen[bytes]:
    def hears_ctrl_c() -> None:  # what a shell starts in the background does not, nor do its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "harkd", "stream", str(folder)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=hears_ctrl_c, **more)


def test_a_live_stream_answers_at_once_and_ctrl_c_ends_it(export: Make, tmp_path: Path) -> None:
    export()
    with started(tmp_path / "export") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"1,0,0\n" * 100)
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 60)[0], "no decision came, although a window was complete"
        assert process.stdout.readline() == b"2.00\tup\t0.982\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read().endswith(b"harkd: interrupted\n")


def test_a_reader_that_has_seen_enough_is_no_error(export: Make, tmp_path: Path) -> None:
    export()
    with started(tmp_path / "export") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"1,0,0\n" * 100)
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        with suppress(BrokenPipeError):  # once the stream has ended
            for _ in range(200):
                process.stdin.write(b"1,0,0\n" * 50)
                process.stdin.flush()
                time.sleep(0.05)
        with suppress(BrokenPipeError):
            process.stdin.close()
        assert process.wait(30) == 0
        assert b"Traceback" not in process.stderr.read()
