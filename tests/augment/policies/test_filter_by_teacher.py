"""A teacher that turns windows down."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from harkd.augment import Augmenter, Spec, parse
from harkd.errors import UsageError


@dataclass(frozen=True)
class Judge:
    """Takes a window for its class with a probability that falls with how far its first sample is from `home`."""

    home: float

    def probabilities(self, x):
        own = torch.exp(-(x["wrist_acc"][:, 0, 0] - self.home).abs())
        return torch.stack([own, (1 - own) / 2, (1 - own) / 2], 1)

    def attention(self, x):
        raise NotImplementedError


def ones(sensor, total, label):
    return torch.ones(3, total).numpy()


@pytest.mark.parametrize(("q", "kept"), [(0.0, 1.0), (1.0, 0.5)])
def test_what_the_teacher_does_not_recognise_is_dropped(bench, q, kept):
    """Clean windows stand exactly at home, so any change is less probable: q = 1 keeps nothing that moved away."""
    windows = bench.windows((bench.acc,), 8, n=300, fill=ones)
    windows = windows.subset((windows.labels == 0).nonzero()[:, 0])
    index = torch.arange(len(windows))
    spec = replace(Spec.of(windows), judge=Judge(1.0))
    x = Augmenter(parse(f"filter_by_teacher(scaling(0.3), q={q})"), windows, spec)(index, index).x["wrist_acc"]
    changed = (x != 1).flatten(1).any(1)
    assert bool(changed.all()) if q == 0 else not bool(changed.any())


def test_the_bound_is_a_share_of_the_clean_probability(bench):
    windows = bench.windows((bench.acc,), 8, n=3000, fill=ones)
    windows = windows.subset((windows.labels == 0).nonzero()[:, 0])
    index = torch.arange(len(windows))
    free = Augmenter(parse("filter_by_teacher(scaling(0.3), q=0)"), windows, replace(Spec.of(windows), judge=Judge(1.5)))
    strict = Augmenter(parse("filter_by_teacher(scaling(0.3), q=0.9)"), windows, replace(Spec.of(windows), judge=Judge(1.5)))
    kept = strict(index, index).x["wrist_acc"]
    # exp(-|x - 1.5|) >= 0.9 exp(-0.5) for the first sample, whose gain is the first channel's
    home = kept[:, 0, 0]
    assert float(home.min()) >= 1 + torch.tensor(0.9).log().item() - 1e-5
    assert 0.3 < float((kept != 1).flatten(1).any(1).float().mean()) < 1
    assert float(free(index, index).x["wrist_acc"][:, 0, 0].min()) < 0.5


def test_without_a_teacher_or_classes_it_is_refused(bench):
    with pytest.raises(UsageError, match="filter_by_teacher asks a trained teacher: use it with `harkd distill`"):
        Augmenter(parse("filter_by_teacher(jitter(0.1))"), bench.windows())
    unlabelled = bench.windows((bench.acc,), labelled=False)
    with pytest.raises(UsageError, match="these windows have no classes"):
        bench.augment("filter_by_teacher(jitter(0.1))", unlabelled, spec=replace(Spec.of(unlabelled), judge=Judge(1.0)))
