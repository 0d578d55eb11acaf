"""dropout: which samples are lost, and what stands there then."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harkd.augment import Spec
from harkd.augment.dropout import Dropout
from harkd.errors import UsageError


def filled(op, x, starts):
    plan = op.plan(torch.tensor(starts, dtype=torch.bool).view(1, 1, -1), len(x))
    return op.filled(torch.tensor(x).view(1, 1, -1), plan).flatten().tolist()


SIGNAL = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 12.125]


@pytest.mark.parametrize(
    ("fill", "starts", "expected"),
    [
        ("ffill", [0, 0, 1, 1, 0, 0, 0, 1], [0, 1, 1, 1, 4, 5, 6, 6]),
        ("bfill", [0, 0, 1, 1, 0, 0, 0, 0], [0, 1, 4, 4, 4, 5, 6, 12.125]),
        ("ffill", [1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 2, 3, 4, 5, 6, 12.125]),  # the first sample has none before it
        ("bfill", [0, 0, 0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 4, 5, 12.125, 12.125]),
        ("zero", [1, 0, 0, 0, 0, 1, 0, 0], [0, 1, 2, 3, 4, 0, 6, 12.125]),
        ("mean", [1, 0, 0, 0, 0, 1, 0, 0], [4.140625, 1, 2, 3, 4, 4.140625, 6, 12.125]),
    ],
)
def test_by_hand(fill, starts, expected):
    assert filled(Dropout(0.1, fill=fill), SIGNAL, starts) == expected


def test_blocks_by_hand():
    """Blocks of three: two places stand for blocks that begin before the window."""
    op = Dropout(0.1, size=3, fill="zero")
    assert filled(op, SIGNAL, [1, 0, 0, 0, 0, 0, 0, 0, 0, 0])[:2] == [0, 1]
    assert filled(op, SIGNAL, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]) == [0, 0, *SIGNAL[2:]]
    assert filled(op, SIGNAL, [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]) == [0, 1, 0, 0, 0, 5, 6, 0]
    assert filled(op, SIGNAL, [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]) == [0, 0, 0, 0, 0, 0, 6, 12.125]


def test_a_neighbour_of_a_lost_sample_does_not_get_it_back():
    """tsaug fills from the sample before even if that one is lost: two in a row become a delay."""
    starts = [0, 0, 1, 1, 0, 0, 0, 0]
    assert filled(Dropout(0.1), SIGNAL, starts)[2:4] == [1, 1]
    assert filled(Dropout(0.1, compat=True), SIGNAL, starts)[2:4] == [1, 2]


@pytest.mark.parametrize("size", [1, 4, 9])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_each_sample_is_lost_with_the_probability_asked_for(bench, size, share):
    windows = bench.windows((bench.acc,), 64, n=3000, fill=lambda s, total, label: np.ones((3, total)))
    op, spec, n = Dropout(share, size, "zero"), Spec.of(windows), len(windows)
    lost = op.apply(windows.gather(torch.arange(n)), bench.draw(op, spec, n), spec)["wrist_acc"][:, 0] == 0
    bound = 4.5 * (share * (1 - share) / n) ** 0.5
    assert float((lost.float().mean(0) - share).abs().max()) < bound  # at every place, the ends too
    tsaugs = Dropout(share, size, "zero", compat=True)
    fewer = tsaugs.apply(windows.gather(torch.arange(n)), bench.draw(tsaugs, spec, n), spec)["wrist_acc"][:, 0] == 0
    # tsaug's blocks may begin at 1 to 64 - size, each with probability share / size.
    blocks = np.array([max(min(t, 64 - size) - max(t - size + 1, 1) + 1, 0) for t in range(64)])
    expected = 1 - (1 - share / size) ** blocks
    assert np.abs(fewer.double().mean(0).numpy() - expected).max() < bound
    assert expected.mean() < share


def test_lengths_of_gaps_are_those_of_blocks(bench):
    """At a small share blocks hardly overlap, so a gap inside the window is one block long."""
    windows = bench.windows((bench.acc,), 128, n=2000, fill=lambda s, total, label: np.ones((3, total)))
    op, spec, n = Dropout(0.01, 5, "zero"), Spec.of(windows), len(windows)
    lost = op.apply(windows.gather(torch.arange(n)), bench.draw(op, spec, n), spec)["wrist_acc"][:, 0] == 0
    edges = torch.nn.functional.pad(lost.int(), (1, 1)).diff(dim=1)
    lengths = edges.eq(-1).nonzero()[:, 1] - edges.eq(1).nonzero()[:, 1]
    inside = (edges.eq(1).nonzero()[:, 1] > 0) & (edges.eq(-1).nonzero()[:, 1] < 128)
    assert len(lengths) > 200
    assert float((lengths[inside] == 5).float().mean()) > 0.9
    assert bool((lengths[inside] >= 5).all())


@pytest.mark.parametrize("fill", ["ffill", "bfill", "mean", "zero"])
def test_what_lose_their_samples_together(bench, fill):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), 64, n=400)
    x, spec = windows.gather(torch.arange(len(windows))), Spec.of(windows)

    def changed(per_channel):
        op = Dropout(0.3, fill=fill, per_channel=per_channel)
        moved = op.apply(x, bench.draw(op, spec, len(windows)), spec)
        return {name: moved[name] != x[name] for name in x}

    together, apart = changed(False), changed(True)
    assert torch.equal(together["wrist_acc"], together["wrist_gyro"])
    assert torch.equal(together["wrist_acc"], together["wrist_acc"][:, :1].expand(-1, 3, -1))
    rows = torch.cat([apart["wrist_acc"], apart["wrist_gyro"]], 1).transpose(0, 1).flatten(1).numpy()
    assert np.abs(np.corrcoef(rows) - np.eye(6)).max() < 4.5 / rows.shape[1] ** 0.5
    # A sensor of another rate loses others: there, too, neither the same nor the same again.
    slow, fast = together["ankle_acc"][:, 0].flatten(), together["wrist_acc"][:, 0, :32].flatten()
    assert abs(np.corrcoef(slow, fast)[0, 1]) < 4.5 / len(slow) ** 0.5


def test_blocks_count_from_one_sample():
    with pytest.raises(UsageError, match="Dropout: size counts the samples of a block, so it is at least 1; got 0"):
        Dropout(size=0)
