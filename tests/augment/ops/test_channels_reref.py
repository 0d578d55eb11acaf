"""Another electrode as the reference."""

from __future__ import annotations

import torch
from scipy.stats import chisquare

from harkd.augment import Spec
from harkd.augment.eeg import ChannelsReref


def test_the_reference_is_subtracted_and_changes_sign(bench):
    spec = Spec.of(bench.windows((bench.eeg(3), bench.acc)))
    x = {"cap": torch.tensor([[[1.0], [20.0], [300.0]]]).expand(2, 3, 5), "wrist_acc": torch.ones(2, 3, 5)}
    moved = ChannelsReref().apply(x, {"cap": torch.tensor([1, 2])}, spec)
    assert torch.equal(moved["cap"][0, :, 0], torch.tensor([-19.0, -20.0, 280.0]))
    assert torch.equal(moved["cap"][1, :, 0], torch.tensor([-299.0, -280.0, -300.0]))
    assert moved["wrist_acc"] is x["wrist_acc"]


def test_referring_to_the_same_place_again_restores_the_old_reference(bench):
    windows = bench.windows((bench.eeg(6),))
    spec, x = Spec.of(windows), windows.gather(torch.arange(len(windows)))
    params = bench.draw(ChannelsReref(), spec, len(windows))
    twice = ChannelsReref().apply(ChannelsReref().apply(x, params, spec), params, spec)
    torch.testing.assert_close(twice["cap"], x["cap"], rtol=0, atol=1e-5)


def test_every_channel_becomes_the_reference_equally_often(bench):
    spec = Spec.of(bench.windows((bench.eeg(6),)))
    chosen = bench.draw(ChannelsReref(), spec, 6000)["cap"]
    assert chisquare(torch.bincount(chosen, minlength=6).numpy()).pvalue > 0.01


def test_a_single_channel_has_nothing_to_refer_to(bench):
    windows = bench.windows((bench.eeg(1),))
    assert torch.equal(bench.augment("channels_reref()", windows).x["cap"], windows.gather(torch.arange(len(windows)))["cap"])
