"""Berkeley MHAD: six accelerometers with irregular clocks of their own, and a few corrupt rows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harkd.datasets import split
from harkd.datasets.prepare import parse, run


@pytest.fixture(scope="module")
def mhad(real: Any) -> Any:
    return real("berkeley_mhad", "berkeley-mhad")


def rows(mhad: Any, sensor: int, name: str) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.loadtxt(mhad.folder / f"Accelerometer/Shimmer0{sensor}/acc_h0{sensor}_{name}.txt")
    return found


def test_sequences_and_rows(mhad: Any) -> None:
    everything = {f"s{s:02d}_a{a:02d}_r{r:02d}" for s in range(1, 13) for a in range(1, 12) for r in range(1, 6)}
    assert everything - set(mhad.recordings) == {"s04_a08_r05", "s02_a07_r05"}
    assert len(mhad.recordings) == len(mhad.windows) == 658
    lengths = [x.shape[1] for r in mhad.recordings.values() for x in r.signals.values()]
    assert (len(lengths), sum(lengths), min(lengths), max(lengths), np.median(lengths)) == (3_948, 920_866, 26, 942, 196)
    assert mhad.windows.present == {}


def test_the_published_split(mhad: Any) -> None:
    train, val, test = split(mhad.windows)
    assert sorted(set(train.subjects.tolist()) | set(val.subjects.tolist())) == [f"{n:02d}" for n in range(1, 8)]
    assert sorted(set(test.subjects.tolist())) == [f"{n:02d}" for n in range(8, 13)]
    assert (len(train) + len(val), len(test)) == (7 * 55 - 2, 5 * 55)


def test_rates(mhad: Any) -> None:
    overall = [(len(at) - 1) / np.ptp(at) for r in mhad.recordings.values() for at in r.times.values()]
    assert np.median(overall) == pytest.approx(31.06, abs=0.05)
    assert np.percentile(overall, [5, 95]) == pytest.approx([30.9, 31.4], abs=0.1)
    assert (round(min(overall), 1), round(max(overall), 1)) == (8.7, 120.8)


def test_corrupt_rows_are_mended(mhad: Any) -> None:
    """16 files hold rows of up to 60.7 g from sensors of 2 g; none of it is left in the windows."""
    worst = [float(np.abs(x).max()) for r in mhad.recordings.values() for x in r.signals.values()]
    assert sum(value > 2.05 for value in worst) == 16
    assert max(worst) == pytest.approx(60.7, abs=0.1)
    for name, x in mhad.windows.signals.items():
        assert float(x.abs().max()) < 2.7, name  # filters ring a little beyond a clipped peak


def test_one_sequence_by_hand(mhad: Any) -> None:
    """All six of one sequence, by np.loadtxt and np.interp onto a grid of 30 Hz that counts from the first sample of all."""
    name = "s03_a03_r04"  # bending: slow, so that the filter takes little away
    tables = [rows(mhad, sensor, name) for sensor in range(1, 7)]
    origin = min(table[:, 3].min() for table in tables)
    (done,), sensors = run(parse("limit(2.05)+resample(gap=2)+fill(2)"), [mhad.recordings[name]], mhad.sensors, mhad.card.sensors)
    for sensor, table in zip(sensors, tables, strict=True):
        at = table[:, 3] - origin
        grid = np.arange(np.ceil(at[0] * 30 - 1e-6), np.floor(at[-1] * 30 + 1e-6) + 1) / 30
        good = (np.abs(table[:, :3]) <= 2.05).all(1)
        expected = np.stack([np.interp(grid, at[good], table[good, axis]) for axis in range(3)])
        found = done.signals[sensor.name]
        assert done.onsets.get(sensor.name, 0.0) == pytest.approx(grid[0])
        assert found.shape == expected.shape
        # Stamps come in bursts of 40 Hz, so that there is a filter too; and a cubic between two samples is not quite a line.
        assert np.sqrt(np.mean((found - expected) ** 2)) < 0.2 * expected.std()
        at_zero = np.corrcoef(found[:, 2:-2].ravel(), expected[:, 2:-2].ravel())[0, 1]
        assert at_zero > 0.98
        for lag in (-2, -1, 1, 2):
            shifted = expected[:, 2 + lag : expected.shape[1] - 2 + lag]
            assert np.corrcoef(found[:, 2:-2].ravel(), shifted.ravel())[0, 1] < at_zero


def test_sensors_are_where_the_signals_say(mhad: Any) -> None:
    """In the one-hand wave (6) the right wrist moves and the left is still; in the two-hand wave (5) both move."""

    def moves(name: str, action: str) -> float:
        chosen = [r.signals[name] for key, r in mhad.recordings.items() if f"_a{action}_" in key]
        return float(np.median([x.std(1).sum() for x in chosen]))

    assert moves("right_wrist", "06") > 5 * moves("left_wrist", "06")
    assert 0.5 < moves("right_wrist", "05") / moves("left_wrist", "05") < 2
    assert moves("ankle_1", "10") < moves("ankle_1", "01")


def test_the_ankles_of_a_jump_land_together(mhad: Any) -> None:
    """In jumps (1) both ankles shake at once: their windows correlate at lag zero more than at any other of up to 5 samples."""
    best = []
    for key in mhad.recordings:
        if "_a01_" in key:
            left, right = (np.linalg.norm(mhad.first(key, name), axis=0) for name in ("ankle_1", "ankle_2"))
            lags = {lag: np.corrcoef(left[8:-8], right[8 + lag : len(right) - 8 + lag])[0, 1] for lag in range(-5, 6)}
            best.append(max(lags, key=lambda lag: lags[lag]))
    assert np.median(np.abs(best)) <= 1
