"""The other polarity."""

from __future__ import annotations

import torch

from harkd.augment.eeg import SignFlip


def test_the_share_p_of_windows_changes_sign(bench):
    windows = bench.windows((bench.eeg(2), bench.acc), n=1200)
    x, moved = windows.gather(torch.arange(len(windows))), bench.augment("sign_flip(p=0.3)", windows).x
    flipped = (moved["cap"] == -x["cap"]).all(2).all(1)
    assert torch.equal(moved["cap"][~flipped], x["cap"][~flipped])
    assert torch.equal(moved["wrist_acc"][flipped], -x["wrist_acc"][flipped])
    assert abs(float(flipped.float().mean()) - 0.3) < 0.04


def test_it_assumes_the_polarity():
    assert SignFlip().assumes == {"polarity"}
