"""Windows: where they are cut, what gather returns, which ids and targets they carry, and what is refused."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harkd.datasets import IGNORE, Card, Cut, Recording, Segment, Windows, class_means, class_shares
from harkd.errors import DataError, UsageError

RATE = 50.0


def recorded(
    name: str = "one", samples: int = 100, *pieces: tuple[int, int], targets: Sequence[object] = (), **more: object
) -> Recording:
    """A recording of ramps; `pieces` are its labelled stretches in samples, `targets` what each is labelled with."""
    ramp = np.arange(samples, dtype=np.float32)
    targets = targets or [{}] * len(pieces)
    segments = tuple(Segment(a / RATE, b / RATE, t) for (a, b), t in zip(pieces, targets, strict=True))
    signals = {"acc": np.stack([ramp] * 3), "gyro": -np.stack([ramp] * 3)}
    return Recording(name, "1", **({"signals": signals, "segments": segments} | more))


def starts_by_recording(windows: Windows, recordings: Sequence[Recording]) -> dict[str, list[int]]:
    """Start of each window within its recording, in samples of acc."""
    ends = np.cumsum([recording.signals["acc"].shape[1] for recording in recordings])
    begin = dict(zip([r.name for r in recordings], [0, *ends[:-1]], strict=True))
    found: dict[str, list[int]] = {recording.name: [] for recording in recordings}
    for name, start in zip(windows.recordings.tolist(), windows.starts["acc"].tolist(), strict=True):
        found[name].append(start - begin[name])
    return found


def test_toy_windows_start_every_ten_samples(toy_windows: Windows, toy_recordings: Sequence[Recording]) -> None:
    assert len(toy_windows) == 110
    starts = starts_by_recording(toy_windows, toy_recordings)
    assert starts["1-am"] == list(range(0, 81, 10))
    assert starts["6-am"] == list(range(0, 91, 10))
    assert torch.equal(toy_windows.starts["acc"], toy_windows.starts["gyro"])


@pytest.mark.parametrize(
    ("pieces", "cut", "expected"),
    [
        ([], Cut(40, 30), [0, 30, 60]),
        ([(0, 100)], Cut(40, 30), [0, 30, 60]),
        ([(5, 45), (45, 90)], Cut(20, 20), [5, 25, 45, 65]),
        ([(10, 29), (50, 70)], Cut(20, 1), [50]),
        ([(90, 130)], Cut(10, 5), [90]),  # the piece is labelled beyond the end of the recording
        ([(-20, 30)], Cut(10, 10), [0, 10, 20]),
        ([(0, 100)], Cut(100, 1), [0]),
        ([(0, 100)], Cut(10, 60), [0, 60]),
    ],
)
def test_windows_lie_inside_the_labelled_pieces(
    toy_card: Card, pieces: list[tuple[int, int]], cut: Cut, expected: list[int]
) -> None:
    made = [recorded("one", 100, *pieces)]
    assert starts_by_recording(Windows.cut(made, toy_card, cut), made) == {"one": expected}


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(st.lists(st.integers(0, 120), min_size=2, max_size=6, unique=True).map(sorted), min_size=1, max_size=4),
    length=st.integers(1, 25),
    step=st.integers(1, 30),
)
def test_no_window_crosses_the_end_of_a_piece(toy_card: Card, ends: list[list[int]], length: int, step: int) -> None:
    made = [recorded(str(r), 120, *pairwise(e)) for r, e in enumerate(ends)]
    pieces = {(str(r), a, b) for r, e in enumerate(ends) for a, b in pairwise(e)}
    expected = sum(max(0, (b - a - length) // step + 1) for _, a, b in pieces)
    if not expected:
        with pytest.raises(DataError, match="no window"):
            Windows.cut(made, toy_card, Cut(length, step))
        return
    windows = Windows.cut(made, toy_card, Cut(length, step))
    assert len(windows) == expected
    for name, starts in starts_by_recording(windows, made).items():
        for start in starts:
            assert any(name == r and a <= start and start + length <= b for r, a, b in pieces)


# What gather returns


@settings(max_examples=40, deadline=None)
@given(index=st.lists(st.integers(0, 109), max_size=12))
def test_gather_is_slicing_for_any_index(toy_windows: Windows, index: list[int]) -> None:
    gathered = toy_windows.gather(torch.tensor(index, dtype=torch.int64))
    for sensor, x in gathered.items():
        assert x.shape == (len(index), 3, 20)
        for window, at in zip(x, index, strict=True):
            start = int(toy_windows.starts[sensor][at])
            assert torch.equal(window, toy_windows.signals[sensor][:, start : start + 20])


def test_gathered_samples_say_where_they_come_from(toy_windows: Windows) -> None:
    # Window 9 is the first of recording 1, window 10 starts 10 samples later.
    gathered = toy_windows.gather(torch.tensor([10, 9]))
    assert gathered["acc"][0, 2].tolist() == list(range(12_010, 12_030))
    assert gathered["gyro"][1, 1].tolist() == list(range(-11_000, -11_020, -1))


def test_writing_to_gathered_windows_leaves_the_signals_alone(toy_windows: Windows) -> None:
    before = toy_windows.signals["acc"].clone()
    toy_windows.gather(torch.tensor([0, 1, 0]))["acc"].fill_(-7)
    assert torch.equal(toy_windows.signals["acc"], before)


def test_gather_beyond_the_end_is_an_error(toy_windows: Windows) -> None:
    with pytest.raises(IndexError):
        toy_windows.gather(torch.tensor([110]))


# Sensors with rates and onsets of their own


def clocks(card: Card, rates: tuple[float, float], onsets: dict[str, float], seconds: float = 6.0) -> tuple[Card, Recording]:
    """Two sensors whose every sample is the time at which it was taken."""
    acc, gyro = (replace(sensor, rate=rate) for sensor, rate in zip(card.sensors, rates, strict=True))
    signals = {
        s.name: np.tile(np.arange(int(seconds * s.rate)) / s.rate + onsets.get(s.name, 0.0), (3, 1)).astype(np.float32)
        for s in (acc, gyro)
    }
    return replace(card, sensors=(acc, gyro)), Recording("one", "1", signals, onsets=onsets)


@pytest.mark.parametrize("rates", [(50.0, 20.0), (20.0, 50.0), (50.0, 50.0), (100.0, 33.0)])
@pytest.mark.parametrize("onsets", [{}, {"gyro": 0.3}, {"acc": 1.01, "gyro": 0.5}, {"gyro": -0.25}])
def test_sensors_with_other_rates_and_onsets_align_by_time(
    toy_card: Card, rates: tuple[float, float], onsets: dict[str, float]
) -> None:
    card, made = clocks(toy_card, rates, onsets)
    cut = Cut(int(rates[0]), int(rates[0]) // 2)  # a second, every half second
    windows = Windows.cut([made], card, cut)
    assert windows.lengths == {"acc": int(rates[0]), "gyro": int(rates[1])}
    gathered = windows.gather(torch.arange(len(windows)))
    apart = gathered["acc"][:, :, 0] - gathered["gyro"][:, :, 0]
    assert apart.abs().max().item() <= 0.5 / rates[1] + 1e-5
    acc_at = gathered["acc"][:, 0, 0].double()
    torch.testing.assert_close(acc_at.diff(), torch.full_like(acc_at[1:], cut.step / rates[0]), atol=1e-5, rtol=0)


def test_windows_that_another_sensor_does_not_cover_are_dropped(toy_card: Card) -> None:
    # gyro runs from 0.9 s to 4.9 s: windows of a second begin with it, and the last one ends with it.
    card, made = clocks(toy_card, (50.0, 20.0), {"gyro": 0.9})
    made = replace(made, signals={"acc": made.signals["acc"], "gyro": made.signals["gyro"][:, :80]})
    windows = Windows.cut([made], card, Cut(50, 25))
    assert windows.starts["acc"].tolist() == [45, 70, 95, 120, 145, 170, 195]
    assert windows.starts["gyro"].tolist() == [0, 10, 20, 30, 40, 50, 60]


def test_signals_become_float32(toy_card: Card) -> None:
    made = recorded(signals={"acc": np.ones((3, 50)), "gyro": np.ones((3, 50), np.int16)})
    windows = Windows.cut([made], toy_card)
    assert {signal.dtype for signal in windows.signals.values()} == {torch.float32}


# Ids


def test_ids_are_the_documented_hash(toy_windows: Windows) -> None:
    base = int.from_bytes(hashlib.blake2b(b"toy\x001-pm", digest_size=8).digest(), "little")
    expected = (base + 30 * 0x9E3779B97F4A7C15) % 2**64
    at = (toy_windows.recordings == "1-pm").nonzero()[0][3]
    assert int(toy_windows.ids[at]) % 2**64 == expected


def test_ids_are_distinct(toy_windows: Windows, watch: Windows) -> None:
    assert len(set(toy_windows.ids.tolist())) == 110
    assert len(set(watch.ids.tolist())) == len(watch)


def ids_by_place(windows: Windows, recordings: Sequence[Recording]) -> dict[tuple[str, int], int]:
    starts = starts_by_recording(windows, recordings)
    ids = iter(windows.ids.tolist())
    return {(name, start): next(ids) for name in dict.fromkeys(windows.recordings.tolist()) for start in starts[name]}


def test_ids_do_not_depend_on_the_other_recordings_or_the_step(
    toy_windows: Windows, toy_recordings: Sequence[Recording], toy_card: Card
) -> None:
    known = ids_by_place(toy_windows, toy_recordings)
    some = toy_recordings[7:2:-2]
    again = ids_by_place(Windows.cut(some, toy_card), some)
    assert again.items() <= known.items()
    finer = ids_by_place(Windows.cut(toy_recordings, toy_card, Cut(20, 5)), toy_recordings)
    assert known.items() <= finer.items()


@pytest.mark.parametrize("change", ["data set", "recording"])
def test_ids_depend_on_the_names(change: str, toy_windows: Windows, toy_recordings: Sequence[Recording], toy_card: Card) -> None:
    if change == "data set":
        other = Windows.cut(toy_recordings, replace(toy_card, name="toy2"))
    else:
        other = Windows.cut([replace(r, name=r.name + "2") for r in toy_recordings], toy_card)
    assert not set(other.ids.tolist()) & set(toy_windows.ids.tolist())


@settings(max_examples=30, deadline=None)
@given(index=st.lists(st.integers(0, 109), max_size=20))
def test_positions_inverts_ids(toy_windows: Windows, index: list[int]) -> None:
    at = torch.tensor(index, dtype=torch.int64)
    assert torch.equal(toy_windows.positions(toy_windows.ids[at]), at)


def test_positions_are_those_of_the_subset(toy_windows: Windows) -> None:
    part = toy_windows.subset(np.array([50, 3, 99]))
    assert part.positions(toy_windows.ids[[99, 50]]).tolist() == [2, 0]
    with pytest.raises(DataError, match="2 ids are not among these 3 windows"):
        part.positions(toy_windows.ids[[3, 4, 5]])


# Subsets and devices


@pytest.mark.parametrize("make", [torch.tensor, np.array], ids=["torch", "numpy"])
def test_a_subset_keeps_everything_aligned(toy_windows: Windows, make: object) -> None:
    index = [100, 4, 4, 57]
    derived = replace(toy_windows, source=toy_windows.ids.flip(0))
    part = derived.subset(make(index))
    assert len(part) == 4
    assert part.ids.tolist() == [toy_windows.ids.tolist()[i] for i in index]
    assert part.source.tolist() == [toy_windows.ids.tolist()[109 - i] for i in index]
    assert part.labels.tolist() == [toy_windows.labels.tolist()[i] for i in index]
    for field in ("subjects", "recordings", "sessions"):
        assert getattr(part, field).tolist() == [getattr(toy_windows, field).tolist()[i] for i in index]
    whole = toy_windows.gather(torch.tensor(index))
    for sensor, x in part.gather(torch.arange(4)).items():
        assert torch.equal(x, whole[sensor])
    assert part.signals["acc"].data_ptr() == toy_windows.signals["acc"].data_ptr(), "signals are shared, not copied"


def test_a_subset_by_mask_is_a_subset(toy_windows: Windows) -> None:
    part = toy_windows.subset(torch.from_numpy(toy_windows.subjects == "2"))
    assert set(part.recordings.tolist()) == {"2-am", "2-pm"}


def test_to_cpu_changes_nothing(toy_windows: Windows) -> None:
    moved = replace(toy_windows, source=toy_windows.ids).to("cpu")
    assert moved.device == torch.device("cpu")
    for a, b in [
        (moved.ids, toy_windows.ids),
        (moved.source, toy_windows.ids),
        (moved.labels, toy_windows.labels),
        (moved.signals["gyro"], toy_windows.signals["gyro"]),
        (moved.starts["gyro"], toy_windows.starts["gyro"]),
    ]:
        assert torch.equal(a, b)


def test_to_moves_every_tensor(toy_windows: Windows) -> None:
    moved = replace(toy_windows, source=toy_windows.ids).to("meta")
    tensors = [moved.ids, moved.source, moved.labels, *moved.signals.values(), *moved.starts.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


# Targets


def test_a_class_target_is_a_number_per_window(toy_windows: Windows) -> None:
    target = toy_windows.target("activity")
    assert (target.kind, target.classes) == ("class", ("rest", "walk", "run"))
    assert target.values.dtype == torch.int64
    assert toy_windows.labels.tolist() == [r % 3 for r in range(12) for _ in range(9 if r < 10 else 10)]


def test_a_dense_target_is_a_number_per_sample_and_keeps_what_is_ignored(toy_card: Card) -> None:
    phase = np.arange(60) % 3
    phase[10:30] = IGNORE
    windows = Windows.cut(
        [recorded("one", 60, dense={"phase": phase}), recorded("two", 60, dense={"phase": phase + 0})], toy_card
    )
    target = windows.target("phase")
    assert (target.kind, target.values.dtype, target.values.shape) == ("dense", torch.int64, (10, 20))
    assert target.values[6].tolist() == phase[10:30].tolist() == [IGNORE] * 20
    assert target.values[2].tolist() == phase[20:40].tolist()


def test_a_dense_target_is_aligned_with_the_first_sensor(toy_card: Card) -> None:
    made = recorded("one", 100, (30, 70), dense={"t": np.arange(100)})
    windows = Windows.cut([made], toy_card, Cut(20, 20))
    expected = windows.gather(torch.arange(2))["acc"][:, 0].long()
    assert torch.equal(windows.target("t").values, expected)


def test_a_value_target_is_a_vector_per_window(toy_card: Card) -> None:
    targets = [{"pulse": np.array([60.0, 0.5])}, {"pulse": np.array([90.0, 0.25])}]
    windows = Windows.cut([recorded("one", 100, (0, 40), (50, 80), targets=targets)], toy_card)
    target = windows.target("pulse")
    assert (target.kind, target.values.dtype) == ("value", torch.float32)
    assert target.values.tolist() == [[60.0, 0.5]] * 3 + [[90.0, 0.25]] * 2


def test_other_class_targets_number_their_classes(toy_card: Card) -> None:
    targets = [{"activity": 2, "side": 1}, {"activity": 0, "side": 0}]
    windows = Windows.cut([recorded("one", 100, (0, 20), (50, 70), targets=targets)], toy_card)
    assert windows.target("side").classes == ("0", "1")
    assert windows.target("side").values.tolist() == [1, 0]
    assert windows.labels.tolist() == [2, 0]


def test_windows_without_targets_say_so(toy_card: Card) -> None:
    windows = Windows.cut([recorded()], toy_card)
    assert len(windows) == 9
    with pytest.raises(DataError, match="these windows of toy carry no targets"):
        _ = windows.labels


def test_an_unknown_target_gets_a_suggestion(toy_windows: Windows) -> None:
    with pytest.raises(UsageError, match="unknown target 'activty': did you mean 'activity'"):
        toy_windows.target("activty")


# What is refused

NAN = np.zeros((3, 100), np.float32)
NAN[1, 42] = np.nan


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        (
            [recorded("a", 15), recorded("b", 90, (0, 12), (60, 79))],
            r"toy: no window of 20 samples fits; the longest labelled stretch has 19 samples \(0\.38 s\)",
        ),
        ([], "no window of 20 samples fits; the longest labelled stretch has 0 samples"),
        (
            [recorded("ok"), recorded("bad", signals={"acc": NAN, "gyro": NAN})],
            "recording 'bad', sensor 'acc': 1 values are not finite, the first in channel 'y' at sample 42",
        ),
        ([recorded("bad", signals={"acc": np.zeros((3, 50), np.float32)})], "recording 'bad': sensor 'gyro' is missing"),
        ([recorded("twice"), recorded("other"), recorded("twice", 30)], "recording names must differ"),
        (
            [recorded("a", 90, (0, 40), (40, 80), targets=[{"activity": 1}, {"activity": 3}])],
            r"target 'activity' holds class 3, expected 0\.\.2",
        ),
        (
            [recorded("a", 90, (0, 40), (40, 80), targets=[{"activity": -1}, {"activity": 2}])],
            r"target 'activity' holds class -1, expected 0\.\.2",
        ),
        ([recorded("a", 90, (0, 40), targets=[{"activity": 1.5}])], "target 'activity' holds 1.5: classes are whole numbers"),
        (
            [recorded("a", 90, (0, 40), (40, 80), targets=[{"activity": 1}, {}])],
            "target 'activity' is missing for some segments; label all of them or none",
        ),
        (
            [recorded("a", dense={"phase": np.zeros(100, np.int64)}), recorded("b")],
            "dense target 'phase' is missing for some recordings; label all of them or none",
        ),
        ([recorded("a", dense={"phase": np.zeros(99, np.int64)})], "dense target 'phase' has the shape"),
        ([recorded("a", dense={"phase": np.full(100, -1)})], r"target 'phase' holds class -1, expected 0\.\."),
        ([recorded("a", dense={"activity": np.full(100, 3)})], r"target 'activity' holds class 3, expected 0\.\.2"),
    ],
)
def test_what_does_not_fit_is_refused(toy_card: Card, recordings: list[Recording], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Windows.cut(recordings, toy_card)


def test_both_variants_of_the_toy_set_hold_the_same_windows(toy_windows: Windows, toy_windows_two_segments: Windows) -> None:
    everything = torch.arange(110)
    for sensor, x in toy_windows.gather(everything).items():
        assert torch.equal(x, toy_windows_two_segments.gather(everything)[sensor])
    segments: list[set[str]] = [{s.segment for s in w.sensors.values()} for w in (toy_windows, toy_windows_two_segments)]
    assert list(map(len, segments)) == [1, 2]


def test_shares_of_classes() -> None:
    labels = torch.tensor([0, IGNORE, 2])
    assert class_shares(labels, 3).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert class_shares(labels[:, None], 3).shape == (3, 1, 3)
    mixed = torch.tensor([[0.25, 0.75]])
    assert torch.equal(class_shares(mixed, 2), mixed)


def test_means_by_class() -> None:
    """Nothing counts that has no label, and a class without samples has the mean zero."""
    labels, values = torch.tensor([0, IGNORE, 2, 0, IGNORE]), torch.tensor([1.0, 9.0, 0.5, 0.0, 9.0])
    assert class_means(labels, values, 4).tolist() == [0.5, 0.0, 0.5, 0.0]
