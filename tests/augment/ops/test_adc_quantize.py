"""Coarser converters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from harkd.augment import Augmenter, Spec
from harkd.augment.hardware import AdcQuantize
from harkd.datasets.synthetic.imu import digitise
from harkd.errors import UsageError


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_it_is_the_converter_of_the_virtual_sensors(bench, bits):
    sensor = replace(bench.acc, range=7.99)
    spec = Spec.of(bench.windows((sensor,)))
    x = np.random.default_rng(0).uniform(-7.9, 7.9, (1, 3, 1000))
    moved = AdcQuantize().apply({"wrist_acc": torch.from_numpy(x)}, {"wrist_acc": torch.tensor([[bits]])}, spec)["wrist_acc"]
    np.testing.assert_allclose(moved.numpy(), digitise(x, 7.99, bits), atol=1e-12)


def test_without_a_range_it_is_the_power_of_two_that_holds_the_training_data(bench):
    """Means of 1 to 3 and spreads of 0.5 to 1: |mean| + 4 standard deviations are 7, so the range is 8."""
    spec = Spec.of(bench.windows((bench.acc,)))
    x = torch.linspace(-8, 8, 999).expand(1, 3, 999)
    moved = AdcQuantize().apply({"wrist_acc": x}, {"wrist_acc": torch.tensor([[3]])}, spec)["wrist_acc"]
    assert moved.unique().tolist() == [-8, -6, -4, -2, 0, 2, 4, 6, 8]
    assert (moved - x).abs().max() <= 1


def test_24_bits_are_all_that_float32_holds(bench):
    windows = bench.windows((bench.acc,))
    x = windows.gather(torch.arange(len(windows)))
    drawn = {"wrist_acc": torch.full((len(windows), 1), 24)}
    torch.testing.assert_close(AdcQuantize().apply(x, drawn, Spec.of(windows))["wrist_acc"], x["wrist_acc"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("bits", "least", "most"), [(8, 8, 16), (15, 15, 16), (20, 20, 20), (24, 24, 24)])
def test_bits_are_uniform_up_to_16(bench, bits, least, most):
    drawn = bench.draw(AdcQuantize(bits), Spec.of(bench.windows((bench.acc,))), 4000)["wrist_acc"][:, 0]
    counts = torch.bincount(drawn, minlength=25)
    assert counts[least : most + 1].sum() == 4000
    assert least == most or chisquare(counts[least : most + 1].numpy()).pvalue > 0.01


def test_a_skeleton_has_no_converter(bench):
    windows = bench.windows((bench.acc, bench.body))
    assert torch.equal(bench.augment("adc_quantize(2)", windows).x["body"], windows.gather(torch.arange(len(windows)))["body"])
    with pytest.raises(UsageError, match="AdcQuantize changes what a converter has read; these windows have only body"):
        Augmenter(AdcQuantize(), bench.windows((bench.body,)))
