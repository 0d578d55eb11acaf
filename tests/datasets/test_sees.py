"""What a player sees: the text, the channels it picks, and resampling against the analytic signal."""

import math

import pytest
import torch

from harkd.datasets import Sees, Sensor, Windows
from harkd.errors import UsageError

WRIST = {"placement": "right_wrist", "segment": "right_hand"}
SENSORS = {
    sensor.name: sensor
    for sensor in (
        Sensor("wrist_acc", "acc", "g", 50.0, **WRIST),
        Sensor("wrist_gyro", "gyro", "rad/s", 50.0, **WRIST),
        Sensor("ankle_acc", "acc", "g", 20.0, placement="left_ankle", segment="left_foot"),
        Sensor("eeg", "eeg", "uV", 128.0, ("C3", "Cz", "C4", "O1"), montages={"headband": ("C4", "O1"), "vertex": ("Cz",)}),
    )
}
LENGTHS = {"wrist_acc": 100, "wrist_gyro": 100, "ankle_acc": 40, "eeg": 256}


def sees(text: str, lengths: dict[str, int] = LENGTHS) -> Sees:
    return Sees.parse(text, SENSORS, lengths)


EVERYTHING = "wrist_acc,wrist_gyro,ankle_acc,eeg"


@pytest.mark.parametrize(
    ("text", "canonical", "width", "rate", "length"),
    [
        ("wrist_acc", "wrist_acc", 3, 50, 100),
        (" wrist_gyro , wrist_acc ", "wrist_gyro,wrist_acc", 6, 50, 100),
        ("all", EVERYTHING, 13, 50, 100),
        ("inertial", "wrist_acc,wrist_gyro,ankle_acc", 9, 50, 100),
        ("acc", "wrist_acc,ankle_acc", 6, 50, 100),
        ("gyro", "wrist_gyro", 3, 50, 100),
        ("right_wrist", "wrist_acc,wrist_gyro", 6, 50, 100),
        ("left_foot", "ankle_acc", 3, 20, 40),
        ("eeg", "eeg", 4, 128, 256),
        ("eeg[headband]", "eeg[C4,O1]", 2, 128, 256),
        ("eeg[O1, C3]", "eeg[O1,C3]", 2, 128, 256),
        ("eeg[C3,Cz,C4,O1]", "eeg", 4, 128, 256),
        ("eeg[C4],eeg[vertex]", "eeg[C4,Cz]", 2, 128, 256),
        ("wrist_acc[z],wrist_acc", "wrist_acc[z,x,y]", 3, 50, 100),
        ("acc[y]", "wrist_acc[y],ankle_acc[y]", 2, 50, 100),
        ("wrist_acc@20Hz", "wrist_acc@20Hz", 3, 20, 40),
        ("right_wrist @ 12.5 Hz", "wrist_acc,wrist_gyro@12.5Hz", 6, 12.5, 25),
        ("ankle_acc,wrist_acc", "ankle_acc,wrist_acc", 6, 20, 40),
        ("eeg@2000000Hz", "eeg@2000000Hz", 4, 2_000_000, 4_000_000),
    ],
)
def test_texts_resolve(text: str, canonical: str, width: int, rate: float, length: int) -> None:
    seen = sees(text)
    assert (seen.text, seen.width, seen.rate, seen.length) == (canonical, width, rate, length)
    assert sees(seen.text) == seen, "the canonical text means the same"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wrist_ac", "unknown sensor 'wrist_ac': did you mean 'wrist_acc'"),
        ("left_wrist", "unknown sensor 'left_wrist': did you mean 'right_wrist'"),
        ("wrist_acc,magnetometer", "unknown sensor 'magnetometer'"),
        ("eeg[headbnd]", r"unknown channel of 'eeg' in 'eeg\[headbnd\]': 'headbnd': did you mean 'headband'"),
        ("eeg[C3,Cy]", "'Cy': did you mean 'C"),
        ("acc[w]", "unknown channel of 'wrist_acc'"),
        ("wrist_acc[]", "unknown channel of 'wrist_acc'"),
        ("", "'' is not a sensor name"),
        ("wrist_acc,,eeg", "'' is not a sensor name"),
        ("wrist acc", "'wrist acc' is not a sensor name like wrist_acc"),
        ("eeg[C3", r"'eeg\[C3' is not a sensor name"),
        ("wrist_acc@20", "rate is written like @20Hz at the end, got '@20'"),
        ("wrist_acc@20Hz,eeg", "rate is written like @20Hz at the end, got '@20Hz,eeg'"),
        ("wrist_acc@-5Hz", "rate is written like @20Hz"),
        ("wrist_acc@0Hz", "a window of 2 s has no sample at 0 Hz"),
        ("wrist_acc@0.1Hz", r"a window of 2 s has no sample at 0\.1 Hz"),
    ],
)
def test_texts_that_mean_nothing_are_quoted(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sees(text)


def test_channels_come_in_the_order_of_the_text(toy_windows: Windows) -> None:
    seen = Sees.parse("gyro[z,x],acc", toy_windows.sensors, toy_windows.lengths)
    signals = toy_windows.gather(torch.tensor([3, 70]))
    expected = torch.cat([signals["gyro"][:, [2]], signals["gyro"][:, [0]], signals["acc"]], 1)
    assert torch.equal(seen(signals), expected)


def test_a_sensor_seen_whole_is_not_copied(toy_windows: Windows) -> None:
    signals = toy_windows.gather(torch.tensor([0]))
    assert Sees.parse("acc", toy_windows.sensors, toy_windows.lengths)(signals) is signals["acc"]


# Resampling: 100 samples at 50 Hz are 40 at 20 Hz; 128 are 51.2, of which a window keeps 51.

MIDDLE = slice(12, -12)


def sine(frequency: float, rate: float, samples: int, phase: float = 0.4) -> torch.Tensor:
    """(1, 3, samples)"""
    t = torch.arange(samples, dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * frequency * t + phase).float().expand(1, 3, -1)


@pytest.mark.parametrize("samples", [100, 121, 128])
@pytest.mark.parametrize(("rate", "text"), [(20, "@20Hz"), (25, "@25Hz"), (100, "@100Hz"), (12.5, "@12.5Hz"), (33.3, "@33.3Hz")])
def test_a_slow_sine_is_sampled_at_the_rate_that_is_named(samples: int, rate: float, text: str) -> None:
    seen = sees("wrist_acc" + text, {"wrist_acc": samples})
    resampled = seen({"wrist_acc": sine(2, 50, samples)})
    assert resampled.shape == (1, 3, round(samples * rate / 50))
    expected = sine(2, rate, resampled.shape[-1])
    edge = slice(int(0.4 * rate), -int(0.4 * rate))
    torch.testing.assert_close(resampled[..., edge], expected[..., edge], atol=5e-3, rtol=0)


@pytest.mark.parametrize("samples", [100, 128])
@pytest.mark.parametrize(("frequency", "decibel"), [(20, -20), (23, -20), (14, -20)])
def test_what_the_new_rate_cannot_carry_is_attenuated(samples: int, frequency: float, decibel: float) -> None:
    fast = sine(frequency, 50, samples)
    resampled = sees("wrist_acc@20Hz", {"wrist_acc": samples})({"wrist_acc": fast})
    power = resampled[..., MIDDLE].square().mean() / fast.square().mean()
    assert 10 * math.log10(power) < decibel


@pytest.mark.parametrize("rate", ["@20Hz", "@12.5Hz", "@100Hz", "@33.3Hz", "@7Hz"])
def test_a_constant_stays_constant_up_to_the_edges(rate: str) -> None:
    for samples in (100, 128):
        resampled = sees("wrist_acc" + rate, {"wrist_acc": samples})({"wrist_acc": torch.full((2, 3, samples), 0.98)})
        torch.testing.assert_close(resampled, torch.full_like(resampled, 0.98), atol=1e-6, rtol=0)


def test_the_native_rate_is_not_resampled() -> None:
    x = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sees("wrist_acc@50Hz")({"wrist_acc": x}), x)


@pytest.mark.parametrize("samples", [100, 121, 128])
def test_sensors_with_other_rates_are_brought_to_one(samples: int) -> None:
    lengths = {"wrist_acc": samples, "ankle_acc": round(samples * 20 / 50)}
    signals = {"wrist_acc": sine(1, 50, samples), "ankle_acc": sine(1, 20, lengths["ankle_acc"])}
    for text, length in (("wrist_acc,ankle_acc", samples), ("ankle_acc,wrist_acc", lengths["ankle_acc"])):
        both = sees(text, lengths)(signals)
        assert both.shape == (1, 6, length)
        torch.testing.assert_close(both[:, :3, MIDDLE], both[:, 3:, MIDDLE], atol=1e-2, rtol=0)


def test_resampling_keeps_double_precision_and_gradients() -> None:
    x = torch.ones(1, 3, 100, dtype=torch.float64, requires_grad=True)
    resampled = sees("wrist_acc@20Hz")({"wrist_acc": x})
    assert resampled.dtype == torch.float64
    resampled.sum().backward()
    assert (x.grad.sum(-1) > 0).all()


def test_it_knows_kinds_and_channels_by_name() -> None:
    seen = sees("eeg[headband],wrist_acc[z],ankle_acc")
    assert seen.sensors == ("eeg", "wrist_acc", "ankle_acc")
    assert seen.kinds == ("eeg", "acc", "acc")
    assert seen.names == (("C4", "O1"), ("z",), ("x", "y", "z"))
