"""One branch per window."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from harkd.augment import OneOf, parse
from harkd.errors import UsageError


def test_branches_have_equal_chances(bench, many, seen):
    bench.augment("one_of(jitter(0.3), scaling(0.3), rotate(15)+shifting(0.5))", many)
    met = seen.counts(len(many))
    assert torch.equal(met["rotate"], met["shifting"])
    assert torch.equal(met["jitter"] + met["scaling"] + met["rotate"], torch.ones(len(many), dtype=torch.int64))
    assert stats.chisquare([int(met[name].sum()) for name in ("jitter", "scaling", "rotate")]).pvalue > 0.001


def test_a_window_in_its_branch_is_what_it_is_when_all_windows_go_there(bench, many, monkeypatch):
    text = "one_of(scaling(0.3), shifting(0.5))"
    mixed = bench.augment(text, many).x["wrist_acc"]
    found = torch.zeros(len(many), dtype=torch.bool)
    for branch in (0, 1):
        monkeypatch.setattr(
            "harkd.augment.draws.Draws.below", lambda self, n, branch=branch: torch.full((len(self._words),), branch)
        )
        found |= (bench.augment(text, many).x["wrist_acc"] == mixed).flatten(1).all(1)
    assert bool(found.all())


def test_nothing_to_choose_from():
    with pytest.raises(UsageError, match="OneOf needs at least one op or strategy"):
        OneOf()
    with pytest.raises(UsageError, match="a mixing op cannot stand inside OneOf"):
        OneOf((parse("none|mixup(0.2)"),))
