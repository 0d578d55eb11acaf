"""SCCNet and ShallowConvNet: published sizes, the layers as they are described, and a log that never meets a zero."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harkd.commands import list as listing
from harkd.errors import UsageError
from harkd.nets import NETS, Inputs, Net, build
from harkd.nets.shallowconvnet import LEAST_POWER, LogPower, TimeThenElectrodes

NAMES = ["sccnet", "shallowconvnet"]
every = pytest.mark.parametrize("name", NAMES)
COMPETITION = Inputs(22, 562, 125.0)
"""4.5 s of BCI competition IV 2a, as similarity-keeping distillation uses it."""


def noise(batch: int, channels: int, time: int) -> Tensor:
    return torch.randn(batch, channels, time, generator=torch.Generator().manual_seed(1)).double()


def made(name: str, inputs: Inputs) -> Net:
    """A net in double precision whose batch norm has seen data, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build(name, inputs, 4).double()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
        net.train()
        net(1 + 2 * noise(16, inputs.width, inputs.length))
    return net.eval()


def norm(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    mean, var, scale, shift = (weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, scale, shift)


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        # Spatial filters and their norm, filters over time and theirs, classifier.
        ("sccnet", 22, 22 * 22 + 44 + 22 * 20 * 12 + 40 + (840 * 4 + 4)),
        ("sccnet", 4, 4 * 22 + 44 + 22 * 20 * 12 + 40 + (840 * 4 + 4)),
        # Filters over time, filters over electrodes, norm, classifier.
        ("shallowconvnet", 22, 40 * 13 + 40 * 40 * 22 + 80 + (2960 * 4 + 4)),
        ("shallowconvnet", 7, 40 * 13 + 40 * 40 * 7 + 80 + (2960 * 4 + 4)),
    ],
)
def test_parameters_by_hand(name: str, channels: int, parameters: int) -> None:
    assert build(name, Inputs(channels, 562, 125.0), 4).parameter_count == parameters


def test_classifiers_of_the_competition_have_their_published_width() -> None:
    assert {name: build(name, COMPETITION, 4).head.linear.in_features for name in NAMES} == {
        "sccnet": 840,
        "shallowconvnet": 2960,
    }


def test_sccnet_by_hand() -> None:
    net, x = made("sccnet", COMPETITION), noise(3, 22, 562)
    weights = net.state_dict()
    spatial = weights["stem.body.0.weight"].reshape(22, 1, 22, 1)
    h = norm(F.conv2d(x[:, None], spatial), weights, "stem.body.1")
    filtered = norm(F.conv2d(h, weights["stages.0.body.0.weight"], padding=(0, 6)), weights, "stages.0.body.1")
    power = F.avg_pool2d(filtered**2, (1, 62), stride=(1, 12)).log().flatten(1)
    assert power.shape == (3, 840)
    out = net(x)
    torch.testing.assert_close(out.features[0], filtered.squeeze(2), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.features[1], filtered.squeeze(2) ** 2, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.embedding, power, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.logits, net.head.linear(power), rtol=1e-10, atol=1e-10)


def test_shallowconvnet_by_hand() -> None:
    net, x = made("shallowconvnet", COMPETITION), noise(3, 22, 562)
    weights = net.state_dict()
    h = F.conv2d(x[:, None], weights["stages.0.body.0.time.weight"])
    assert h.shape == (3, 40, 22, 550)
    filtered = norm(F.conv2d(h, weights["stages.0.body.0.electrodes.weight"]), weights, "stages.0.body.1")
    power = F.avg_pool2d(filtered**2, (1, 35), stride=(1, 7)).log().flatten(1)
    assert power.shape == (3, 2960)
    out = net(x)
    torch.testing.assert_close(out.features[0], filtered.squeeze(2), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.features[1], filtered.squeeze(2) ** 2, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.embedding, power, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(out.logits, net.head.linear(power), rtol=1e-10, atol=1e-10)


def test_two_banks_of_filters_have_the_gradients_of_two_convolutions() -> None:
    joined = TimeThenElectrodes(5, 6, 7).double()
    x = noise(4, 5, 30)
    for answer in (joined(x.unsqueeze(2)), joined.electrodes(joined.time(x[:, None]))):
        answer.pow(3).sum().backward()
    summed = [p.grad.clone() for p in joined.parameters()]
    joined.zero_grad()
    joined(x.unsqueeze(2)).pow(3).sum().backward()
    for both, one in zip(summed, joined.parameters(), strict=True):
        torch.testing.assert_close(both, 2 * one.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "rate", "kernel", "window", "step"),
    [
        ("sccnet", 125.0, 12, 62, 12),
        ("sccnet", 128.0, 12, 63, 12),
        ("sccnet", 160.0, 15, 79, 15),
        ("sccnet", 250.0, 24, 124, 24),
        ("shallowconvnet", 125.0, 13, 35, 7),
        ("shallowconvnet", 160.0, 17, 45, 9),
        ("shallowconvnet", 250.0, 26, 70, 14),
        ("shallowconvnet", 1.0, 1, 1, 1),
    ],
)
def test_filters_and_means_last_as_long_at_every_rate(name: str, rate: float, kernel: int, window: int, step: int) -> None:
    net = build(name, Inputs(4, 700, rate), 4)
    layer = net.stages[0].body[0]
    weight = layer.weight if isinstance(layer, nn.Conv2d) else layer.time.weight
    (pool,) = (module for module in net.modules() if isinstance(module, nn.AvgPool1d))
    assert (weight.shape[3], pool.kernel_size, pool.stride) == (kernel, (window,), (step,))


@every
@pytest.mark.parametrize("time", [1, 2, 5, 12, 13, 34, 35, 61, 62, 63, 500])
def test_windows_shorter_than_a_filter_or_a_mean(name: str, time: int) -> None:
    out = build(name, Inputs(3, time, 125.0), 4).eval()(noise(2, 3, time).float())
    assert out.logits.isfinite().all()
    assert torch.equal(out.features[1], out.features[0] ** 2)


@every
def test_maps_without_power_are_quiet_and_not_infinite(name: str) -> None:
    net = build(name, COMPETITION, 4).train()
    silent = net.stages[0].body[1]
    nn.init.zeros_(silent.weight[:3])
    out = net(noise(8, 22, 562).float())
    assert torch.isneginf(out.features[1][:, :3].mean(2).log()).all(), "what an unguarded log would have given"
    maps = out.embedding.unflatten(1, (out.features[1].shape[1], -1))
    assert (maps[:, :3] == torch.tensor(LEAST_POWER).log()).all()
    assert (maps[:, 3:] > -6).all()
    out.logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_log_power_of_a_worked_example() -> None:
    power = torch.tensor([[[1.0, 3.0, 5.0, 7.0, 0.0], [0.0, 0.0, 0.0, 2.0, 4.0]]])
    told = LogPower(5, window=2, step=2)(power)
    torch.testing.assert_close(told.exp(), torch.tensor([[2.0, 6.0, 1e-6, 1.0]]))


@pytest.mark.parametrize(
    ("name", "dropout"), [("sccnet", 0.5), ("sccnet-d25", 0.25), ("shallowconvnet", 0.25), ("shallowconvnet-d00", 0.0)]
)
def test_dropout(name: str, dropout: float) -> None:
    """Of one layer: before the means in SCCNet, where it changes the embedding, and behind them in ShallowConvNet."""
    net = build(name, COMPETITION, 4)
    assert sum(m.p for m in net.modules() if isinstance(m, nn.Dropout)) == dropout
    before = name.startswith("sccnet")
    x = noise(16, 22, 562).float()
    with torch.no_grad():
        one, other = net(x), net(x)
    assert torch.equal(one.embedding, other.embedding) == (not before)
    assert torch.equal(one.logits, other.logits) == (dropout == 0)
    assert torch.equal(one.features[1], other.features[1])


@every
def test_a_fused_net_takes_them_for_eeg(name: str) -> None:
    body, cap = NETS["skeleton"].special["skeleton-s"].sensors[0], NETS[name].special[name].sensors[0]
    net = build(f"fusion-skeleton-s+{name}", Inputs(82, 64, 30.0, (body, cap)), 5)
    assert net(noise(2, 82, 64).float()).logits.shape == (2, 5)


@every
def test_they_are_listed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.main(["nets", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[name]["channels"] == 22
    assert rows[name]["parameters"] == build(name, COMPETITION, 7).parameter_count


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: build("sccnet", 22, 4),
            r"^sccnet needs to know length and rate of its windows; it was told of 22 channels only$",
        ),
        (lambda: build("shallowconvnet", Inputs(7, 99), 4), r"^shallowconvnet needs to know length and rate of its windows; it "),
        (
            lambda: build("sccnet", COMPETITION, 4)(torch.zeros(2, 22, 600)),
            r"^this net was built for 42 steps of log power, and a window gave 45$",
        ),
        (
            lambda: build("shallowconvnet", COMPETITION, 4)(torch.zeros(2, 22, 400)),
            r"^this net was built for 74 steps of log power, and a window gave 51$",
        ),
        (lambda: build("sccnets", COMPETITION, 4), r"^unknown net 'sccnets': did you mean 'sccnet'"),
    ],
)
def test_what_they_do_not_take(call: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call()
