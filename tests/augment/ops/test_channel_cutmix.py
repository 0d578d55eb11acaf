"""ChannelCutMix: what goes together, how often, and the label."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec
from harkd.augment.cutmix import ChannelCutMix
from harkd.errors import UsageError

P = 0.001
N = 20_000


@pytest.fixture(scope="module")
def windows(bench):
    """Wrist accelerometer and gyroscope on one segment, an accelerometer on the ankle: 9 channels."""
    return bench.windows((bench.acc, bench.gyro, bench.ankle), 16, n=12)


def taken(bench, windows, op, n=N):
    """(n, channel) which channels were taken, in the order of the sensors, and the label's share."""
    spec = Spec.of(windows)
    x = {name: torch.zeros(n, len(sensor.channels), 2) for name, sensor in windows.sensors.items()}
    mixed, share = op.mix(x, [{name: 1 + signal for name, signal in x.items()}], bench.draw(op, spec, n), spec)
    return torch.cat([signal[:, :, 1] for signal in mixed.values()], 1) == 1, share


@pytest.mark.parametrize(
    ("group", "groups"),
    [("segment", [0, 0, 0, 0, 0, 0, 1, 1, 1]), ("sensor", [0, 0, 0, 1, 1, 1, 2, 2, 2]), ("channel", list(range(9)))],
)
def test_groups_go_together_and_apart_from_others(bench, windows, group, groups):
    mask, share = taken(bench, windows, ChannelCutMix(0.5, group))
    numbers = torch.tensor(groups)
    firsts = torch.tensor([groups.index(number) for number in sorted(set(groups))])
    assert torch.equal(mask, mask[:, firsts][:, numbers])
    assert torch.equal(share, (~mask).sum(1) / 9)
    # Every set of groups equally often: they are drawn apart.
    code = (mask[:, firsts] * 2 ** torch.arange(len(firsts))).sum(1)
    assert stats.chisquare(torch.bincount(code, minlength=2 ** len(firsts))).pvalue > P


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_share_that_is_taken(bench, windows, share):
    mask, kept = taken(bench, windows, ChannelCutMix(share, "channel"))
    assert float(mask.double().mean()) == pytest.approx(share, abs=4 * (share * (1 - share) / 9 / N) ** 0.5)
    assert float(kept.double().mean()) == pytest.approx(1 - share, abs=4 * (share * (1 - share) / 9 / N) ** 0.5)


def test_values_are_taken_as_they_are(bench, windows):
    spec, index = Spec.of(windows), torch.arange(12)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    mixed, _ = ChannelCutMix().mix(x, [other], bench.draw(ChannelCutMix(), spec, 12), spec)
    for name, moved in mixed.items():
        whole = torch.stack([(moved == signals[name]).flatten(1).all(1) for signals in (x, other)])
        assert bool(whole.any(0).all())


def test_one_group_cannot_be_mixed(bench):
    wrist, single = bench.windows((bench.acc, bench.gyro)), bench.windows((bench.acc,))
    bench.augment("none|channel_cutmix(0.5)", wrist)
    with pytest.raises(UsageError, match=r"takes some segments .* one only \(wrist\); let a sensor go .* \(group=sensor\)"):
        bench.augment("none|channel_cutmix(0.5, group=segment)", wrist)
    with pytest.raises(UsageError, match=r"takes some sensors .* one only \(wrist_acc\); .* \(group=channel\)"):
        bench.augment("none|channel_cutmix(0.5)", single)
    bench.augment("none|channel_cutmix(0.5, group=channel)", single)
