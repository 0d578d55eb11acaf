"""Statistics of the given windows and of no others, against NumPy in double precision."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from harkd.datasets import Card, Cut, Recording, Scaler, Sees, Statistics, Windows, split
from harkd.datasets import scaler as module
from harkd.errors import DataError


def reference(windows: Windows) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    gathered = windows.gather(torch.arange(len(windows)))
    return {name: (x.double().numpy().mean((0, 2)), x.double().numpy().std((0, 2))) for name, x in gathered.items()}


def noise(card: Card, offset: float, samples: int = 3000) -> Windows:
    rng = np.random.default_rng(0)
    signals = {s.name: (offset + rng.standard_normal((3, samples))).astype(np.float32) for s in card.sensors}
    return Windows.cut([Recording("noise", "1", signals)], card)


@pytest.mark.parametrize("chunk", [1, 700, 4096])
def test_statistics_are_those_of_numpy(watch: Windows, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    train = split(watch)[0] if chunk > 1 else watch.subset(torch.arange(100))
    found = Statistics.of(train)
    for name, (mean, std) in reference(train).items():
        np.testing.assert_allclose(found.mean[name], mean, atol=1e-5)
        np.testing.assert_allclose(found.std[name], std, atol=1e-5)


def test_samples_outside_the_given_windows_do_not_matter(toy_windows: Windows) -> None:
    train = split(toy_windows)[0]
    changed = {name: signal.clone() for name, signal in toy_windows.signals.items()}
    for name, signal in changed.items():
        signal[:, int(train.starts[name].max()) + 20 :] = 1e6
    before, after = Statistics.of(train), Statistics.of(replace(train, signals=changed))
    for name in before.mean:
        assert torch.equal(before.mean[name], after.mean[name])
        assert torch.equal(before.std[name], after.std[name])


def test_overlapping_samples_count_as_often_as_windows_hold_them(toy_card: Card) -> None:
    ramp = np.tile(np.arange(30, dtype=np.float32), (3, 1))
    windows = Windows.cut([Recording("r", "1", {"acc": ramp, "gyro": ramp})], toy_card, Cut(20, 10))
    samples = [*range(20), *range(10, 30)]
    assert Statistics.of(windows).mean["acc"].tolist() == [np.mean(samples)] * 3
    assert Statistics.of(windows).std["gyro"].tolist() == pytest.approx([np.std(samples)] * 3)


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_an_offset_does_not_swamp_the_spread(toy_card: Card, offset: float) -> None:
    windows = noise(toy_card, offset)
    found = Statistics.of(windows)
    for name, (mean, std) in reference(windows).items():
        np.testing.assert_allclose(found.mean[name], mean, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.std[name], std, rtol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, -9.80665, 12345.678])
@pytest.mark.parametrize("elsewhere", [0.0, 3e4])
def test_a_channel_that_never_moves_keeps_its_unit(toy_card: Card, constant: float, elsewhere: float) -> None:
    rng = np.random.default_rng(1)
    acc = rng.standard_normal((3, 5000)).astype(np.float32)
    acc[1] = constant
    other = np.full_like(acc, elsewhere)  # another subject, whose recordings must not lend their spread
    recordings = [Recording(str(r), str(r), {"acc": signal, "gyro": acc}) for r, signal in enumerate((acc, other))]
    windows = Windows.cut(recordings, toy_card)
    found = Statistics.of(windows.subset(windows.subjects == "0"))
    assert found.std["acc"][1] == 1
    assert found.mean["acc"][1] == pytest.approx(constant)
    assert found.std["acc"][0] == pytest.approx(1, abs=0.05)


def test_a_tiny_movement_is_still_movement(toy_card: Card) -> None:
    acc = np.full((3, 4000), 1.0, np.float32)
    acc[:, 2000] = np.nextafter(np.float32(1), np.float32(2))
    windows = Windows.cut([Recording("r", "1", {"acc": acc, "gyro": acc})], toy_card)
    np.testing.assert_allclose(Statistics.of(windows).std["acc"], reference(windows)["acc"][1], rtol=1e-3)


def test_no_windows_have_no_statistics(toy_windows: Windows) -> None:
    with pytest.raises(DataError, match="statistics need windows, and none of toy are given"):
        Statistics.of(toy_windows.subset(torch.arange(0)))


@pytest.mark.parametrize("text", ["all", "wrist_gyro,wrist_acc", "wrist_gyro[z,x],wrist_acc[y]"])
def test_the_scaler_standardises_what_is_seen(watch: Windows, text: str) -> None:
    train = split(watch)[0]
    sees = Sees.parse(text, train.sensors, train.lengths)
    scaler = Scaler.fit(Statistics.of(train), sees)
    scaled = scaler(sees(train.gather(torch.arange(len(train))))).double()
    assert scaled.shape == (len(train), sees.width, 128)
    torch.testing.assert_close(scaled.mean((0, 2)), torch.zeros(sees.width, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2), correction=0), torch.ones(sees.width, dtype=torch.float64), atol=1e-5, rtol=0)


def statistics(mean: Sequence[float], std: Sequence[float]) -> Statistics:
    return Statistics(
        {"acc": torch.tensor(mean), "gyro": torch.tensor(mean) * 10}, {"acc": torch.tensor(std), "gyro": torch.tensor(std)}
    )


def test_the_scaler_takes_channels_in_the_order_they_are_seen(toy_windows: Windows) -> None:
    sees = Sees.parse("gyro[z,x],acc[y]", toy_windows.sensors, toy_windows.lengths)
    scaler = Scaler.fit(statistics([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), sees)
    assert scaler.mean.flatten().tolist() == [30, 10, 2]
    assert scaler.std.flatten().tolist() == [6, 4, 5]
    assert scaler(torch.tensor([[[36.0, 30.0], [10.0, 14.0], [12.0, 2.0]]])).tolist() == [[[1, 0], [0, 1], [2, 0]]]


def test_the_scaler_is_saved_with_the_net(toy_windows: Windows) -> None:
    sees = Sees.parse("acc", toy_windows.sensors, toy_windows.lengths)
    fitted = Scaler.fit(Statistics.of(toy_windows), sees)
    other = Scaler(torch.zeros(3), torch.ones(3))
    other.load_state_dict(fitted.state_dict())
    x = sees(toy_windows.gather(torch.tensor([5])))
    assert torch.equal(other(x), fitted(x))
    assert not list(fitted.parameters())


def test_channels_in_physical_units_pass_as_they_are(toy_windows: Windows) -> None:
    sees = Sees.parse("gyro[y],acc", toy_windows.sensors, toy_windows.lengths)
    scaler = Scaler.fit(statistics([1, 2, 3, 4, 5, 6], [2, 4, 8, 16, 32, 64]), sees, physical=(0, 2))
    assert scaler.mean.flatten().tolist() == [0, 1, 0, 3]
    assert scaler.std.flatten().tolist() == [1, 2, 1, 8]
    x = torch.randn(2, 4, 5)
    assert torch.equal(scaler(x)[:, [0, 2]], x[:, [0, 2]])
