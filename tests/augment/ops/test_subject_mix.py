"""SubjectMix: the partner's mean and spread, the window's own form."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import Augmenter, Spec
from harkd.augment.mix_style import SubjectMix

P = 0.001
N = 50_000


def style(x):
    return x.mean(2), x.std(2, correction=0)


@pytest.mark.parametrize("lent", [0.0, 0.25, 1.0])
def test_mean_and_spread_are_mixed_and_the_form_is_kept(bench, lent):
    windows = bench.windows((bench.acc, bench.gyro), n=60)
    spec, index = Spec.of(windows), torch.arange(60)
    x, other = windows.gather(index), windows.gather(index.flip(0))
    mixed, _ = SubjectMix().mix(x, [other], {"lent": torch.full((60,), lent)}, spec)
    for name, moved in mixed.items():
        (mean, spread), (mean_theirs, spread_theirs) = style(x[name]), style(other[name])
        mean_now, spread_now = style(moved)
        torch.testing.assert_close(mean_now, torch.lerp(mean, mean_theirs, lent), rtol=0, atol=1e-5)
        torch.testing.assert_close(spread_now, torch.lerp(spread, spread_theirs, lent), rtol=1e-4, atol=0)
        form = (x[name] - mean[:, :, None]) / spread[:, :, None]
        torch.testing.assert_close((moved - mean_now[:, :, None]) / spread_now[:, :, None], form, rtol=0, atol=2e-4)
        if lent == 0:
            assert torch.equal(moved, x[name])


def test_a_partner_of_the_same_style_changes_nothing(bench):
    """As its values in another order: the same mean and spread, up to rounding."""
    windows = bench.windows((bench.acc,), n=12)
    x = windows.gather(torch.arange(12))
    mixed, _ = SubjectMix().mix(x, [{k: v.flip(2) for k, v in x.items()}], {"lent": torch.ones(12)}, Spec.of(windows))
    torch.testing.assert_close(mixed["wrist_acc"], x["wrist_acc"], rtol=1e-5, atol=1e-5)


def test_a_still_window_gets_the_mean_but_no_noise(bench):
    windows = bench.windows((bench.acc,), n=12)
    spec = Spec.of(windows)
    still = {"wrist_acc": torch.full((1, 3, 64), 0.3)}
    mixed, _ = SubjectMix().mix(still, [windows.gather(torch.tensor([5]))], {"lent": torch.ones(1)}, spec)
    expected = windows.gather(torch.tensor([5]))["wrist_acc"].mean(2, keepdim=True).expand(1, 3, 64)
    torch.testing.assert_close(mixed["wrist_acc"], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_the_share_follows_the_beta_law(bench, alpha):
    lent = bench.draw(SubjectMix(alpha), Spec.of(bench.windows((bench.acc,))), N)["lent"].double().numpy()
    law = stats.beta(alpha, alpha)
    assert lent.mean() == pytest.approx(0.5, abs=4 * law.std() / N**0.5)
    assert lent.std() == pytest.approx(law.std(), rel=0.01)
    inner = lent[(lent > 0.05) & (lent < 0.95)]
    low, high = law.cdf([0.05, 0.95])
    assert stats.kstest(inner, lambda x: (law.cdf(x) - low) / (high - low)).pvalue > P


def test_by_default_half_of_the_windows_meet_another_person(bench):
    """The partner's channels are constants that tell the subject, so that the new mean tells who was met."""

    def person(sensor, total, label):
        return torch.zeros(3, total).numpy()

    windows = bench.windows((bench.acc,), 16, n=1200, fill=person)
    numbers = torch.tensor([int(subject) for subject in windows.subjects])
    starts = windows.starts["wrist_acc"][:, None] + torch.arange(16)
    windows.signals["wrist_acc"][:, starts] = numbers[:, None].float().expand(-1, 16)
    index = torch.arange(len(windows))
    met = Augmenter(SubjectMix(1e-6), windows)(index, index).x["wrist_acc"][:, 0, 0].round().long()
    # Half of the windows are left alone, half of the others keep their own style.
    assert stats.binomtest(int((met != numbers).sum()), len(windows), 0.25).pvalue > P
    counts = torch.bincount((met - numbers)[met != numbers] % 4, minlength=4)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > P


def test_what_it_assumes():
    assert SubjectMix().assumes == {"amplitude", "rotation"}
    assert SubjectMix(partner="same_class").assumes == frozenset()
    assert SubjectMix().label == "kept if"
    assert SubjectMix(partner="same_class").label == "same class"
