"""AmplitudeMix: magnitudes between two windows, phases and mean of one."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Spec, parse
from harkd.augment.mix_style import AmplitudeMix

P = 0.001


@pytest.mark.parametrize("time", [64, 65])
@pytest.mark.parametrize("lent", [0.0, 0.3, 1.0])
def test_magnitudes_are_mixed_and_phases_are_kept(bench, time, lent):
    windows = bench.windows((bench.acc, bench.gyro), time, n=60)
    spec, index = Spec.of(windows), torch.arange(60)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    mixed, _ = AmplitudeMix().mix(x, [other], {"lent": torch.full((60,), lent)}, spec)
    for name, moved in mixed.items():
        own, theirs, now = (torch.fft.rfft(signal.double()) for signal in (x[name], other[name], moved))
        torch.testing.assert_close(now[..., 0], own[..., 0], rtol=0, atol=1e-4)
        # As complex numbers: the mixed magnitude in the window's own direction. Bins close to the floor get less.
        expected = ((1 - lent) * own.abs() + lent * theirs.abs()) * own / own.abs()
        loud = own.abs() > 0.05 * spec.std(name, own.abs()) * time**0.5
        loud[..., 0] = False
        assert float(loud.double().mean()) > 0.9
        torch.testing.assert_close(now[loud], expected[loud], rtol=1e-3, atol=1e-3)
        if lent == 0:
            assert torch.equal(moved, x[name])


def test_what_has_no_phase_gets_no_magnitude(bench):
    """A still window stays still: rounding must not be made as loud as the partner."""
    windows = bench.windows((bench.acc,), n=12)
    still = {"wrist_acc": torch.full((1, 3, 64), 9.7)}
    mixed, _ = AmplitudeMix().mix(still, [windows.gather(torch.tensor([5]))], {"lent": torch.ones(1)}, Spec.of(windows))
    torch.testing.assert_close(mixed["wrist_acc"], still["wrist_acc"], rtol=0, atol=0.01)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_partners_part_is_uniform(bench, share):
    lent = bench.draw(AmplitudeMix(share), Spec.of(bench.windows((bench.acc,))), 50_000)["lent"]
    assert stats.kstest(lent.double().numpy(), stats.uniform(0, share).cdf).pvalue > P


def test_labels_are_kept_or_mixed(bench):
    windows = bench.windows(n=240)
    kept, mixed = (
        bench.augment(f"none|amplitude_mix(1, labels={how}, partner=other_class)", windows) for how in ("kept", "mixed")
    )
    assert torch.equal(kept.targets["activity"], windows.labels)
    own = mixed.targets["activity"].gather(1, windows.labels[:, None])[:, 0]
    assert stats.kstest(own.double().numpy(), stats.uniform().cdf).pvalue > P
    torch.testing.assert_close(mixed.targets["activity"].sum(1), torch.ones(240))


def test_what_it_assumes():
    told = {text: parse(f"none|amplitude_mix({text})").ops[0] for text in ("", "labels=mixed", "partner=same_class")}
    assert told[""].assumes == {"amplitude", "frequency"}
    assert told["labels=mixed"].assumes == told["partner=same_class"].assumes == frozenset()
    assert [op.label for op in told.values()] == ["kept if", "mixed", "same class"]
