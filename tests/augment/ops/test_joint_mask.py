"""Joints that were not seen."""

from __future__ import annotations

import torch

from harkd.augment import Spec
from harkd.augment.joints import JointMask


def test_a_joint_goes_with_all_its_coordinates(bench, tetrahedron):
    windows = bench.windows((tetrahedron.sensor,))
    spec, x = Spec.of(windows), windows.gather(torch.arange(2))
    place = tetrahedron.places(x)
    gone = torch.tensor([[False, True, False, False]] * 2)
    fillings = {
        "mean": spec.mean("four", x["four"]).view(4, 3, 1)[1].expand(2, 3, 64),
        "centre": place[..., :1].mean(1).expand(2, 3, 64),
        "hold": place[:, 1, :, :1].expand(2, 3, 64),
    }
    for fill, wanted in fillings.items():
        moved = tetrahedron.places(JointMask(fill=fill).apply(x, {"four": gone}, spec))
        torch.testing.assert_close(moved[:, 1], wanted, rtol=0, atol=1e-6)
        assert torch.equal(moved[:, [0, 2, 3]], place[:, [0, 2, 3]])


def test_each_joint_goes_with_probability_share(bench, kinect):
    gone = bench.draw(JointMask(0.1), Spec.of(bench.windows((kinect,))), 4000)["body"].double()
    assert gone.shape == (4000, 20)
    assert (gone.mean(0) - 0.1).abs().max() < 4 * (0.09 / 4000) ** 0.5
    assert torch.corrcoef(gone.T).fill_diagonal_(0).abs().max() < 4.5 / 4000**0.5
