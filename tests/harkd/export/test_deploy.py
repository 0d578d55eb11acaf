"""A deployed net is the trained net: the same logits, from the watch's units, through plain layers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from harkd.datasets import Scaler
from harkd.export.deploy import AsTrained, Deployed, Edges, Pool, deploy
from harkd.nets import NETS, Flat, Inputs, Net, PooledHead, build, staged

HEAD = (nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3))


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def shaken(net: Net, width: int, scaler: bool = True) -> Net:
    """The net in evaluation, with statistics and weights of batch norm, and a scaler, that are not those of a fresh net."""
    for part in net.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and part.running_mean is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias)
    if scaler:
        net.scaler = Scaler(3 * torch.randn(width), torch.rand(width) + 0.2)
    return net.eval()


@torch.no_grad()
def distance(net: Net, deployed: Deployed, x: Tensor, factors: Tensor | None = None) -> float:
    """Largest difference of a logit, in units of the largest logit or 1; x is in the watch's units."""
    expected = net(x if factors is None else x * factors[:, None]).logits
    return float((deployed(x.unsqueeze(2)) - expected).abs().max() / expected.abs().max().clamp_min(1))


def examples() -> Iterator[tuple[str, Inputs]]:
    for kind in NETS.values():
        yield from ((name, Inputs(6, 128)) for name in kind.examples[:2])
        yield from kind.special.items()


@pytest.mark.parametrize(("name", "inputs"), [pytest.param(name, inputs, id=name) for name, inputs in examples()])
def test_every_net_gives_the_same_logits_in_the_units_of_the_watch(name: str, inputs: Inputs) -> None:
    net = build(name, inputs, 7)
    if "skeleton" in name:  # its first part measures bodies, in metres
        net.scaler = Scaler(torch.zeros(inputs.width), torch.ones(inputs.width))
    net = shaken(net, inputs.width, "skeleton" not in name)
    x, factors = 2 * torch.randn(5, inputs.width, inputs.length) + 1, 3 * torch.rand(inputs.width) + 0.5
    assert distance(net, deploy(net, factors), x, factors) < 1e-5
    assert distance(net, deploy(net), x) < 1e-5


@pytest.mark.parametrize("name", ["dscnn-xs", "dscnn-m", "wrn1d-10-1", "resnet1d-s"])
def test_what_watches_run_is_plain_and_has_nothing_left_to_fold(name: str) -> None:
    """The first convolution takes all channels: no scaling stands before it. Batch norm is nowhere left."""
    deployed = deploy(shaken(build(name, 6, 7), 6))
    assert deployed.plain
    assert not any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout) for part in deployed.modules())
    first = next(part for part in deployed.modules() if isinstance(part, nn.Conv2d))
    assert (first.in_channels, first.groups) == (6, 1)
    if name.startswith("dscnn"):
        kinds = {type(part) for part in deployed.body.children()} - {nn.Identity}
        assert kinds == {Edges, nn.Conv2d, nn.ReLU, Pool, nn.Linear}
        assert len([part for part in deployed.modules() if isinstance(part, nn.Conv2d)]) == 9, "as many as were trained"


def test_a_transformer_stays_as_it_was_trained() -> None:
    deployed = deploy(shaken(build("patchformer-xs", 6, 7), 6))
    assert not deployed.plain
    assert isinstance(deployed.body, AsTrained)


FOREIGN: dict[str, tuple[nn.Module, list[nn.Module], nn.Module]] = {
    "same": (nn.Conv1d(6, 8, 5, padding="same"), [nn.ReLU()], nn.Sequential(*HEAD)),
    "same, even kernel": (nn.Conv1d(6, 8, 4, padding="same"), [nn.ReLU6()], nn.Sequential(*HEAD)),
    "same, dilated": (nn.Conv1d(6, 8, 3, padding="same", dilation=3), [nn.ReLU()], nn.Sequential(*HEAD)),
    "valid": (nn.Conv1d(6, 8, 5, padding="valid"), [nn.ReLU()], nn.Sequential(*HEAD)),
    "number, strided, no bias": (nn.Conv1d(6, 8, 5, 3, padding=4, bias=False), [nn.ReLU()], nn.Sequential(*HEAD)),
    "circular": (nn.Conv1d(6, 8, 5, padding=2, padding_mode="circular"), [nn.ReLU()], nn.Sequential(*HEAD)),
    "groups": (nn.Conv1d(6, 8, 3, padding=1, groups=2), [nn.ReLU()], nn.Sequential(*HEAD)),
    "norm first": (nn.BatchNorm1d(6), [nn.Conv1d(6, 8, 3, padding=1), nn.BatchNorm1d(8)], nn.Sequential(*HEAD)),
    "norm without weights": (nn.Conv1d(6, 8, 3), [nn.BatchNorm1d(8, affine=False)], nn.Sequential(*HEAD)),
    "rectified first": (nn.ReLU(), [nn.Conv1d(6, 8, 3, padding=1)], nn.Sequential(*HEAD)),
    "pools": (
        nn.Conv1d(6, 8, 3),
        [nn.MaxPool1d(3, 2, padding=1), nn.AvgPool1d(3, 2, padding=1), nn.Dropout(0.5)],
        nn.Sequential(*HEAD),
    ),
    "pools to the last sample": (
        nn.Conv1d(6, 8, 3),
        [nn.MaxPool1d(2, 3, ceil_mode=True, dilation=2), nn.AvgPool1d(5, 4, padding=2, ceil_mode=True, count_include_pad=False)],
        nn.Sequential(*HEAD),
    ),
    "pools over a tuple": (nn.Conv1d(6, 8, 3), [nn.MaxPool1d((2,), (2,))], nn.Sequential(*HEAD)),
    "flattened over time": (nn.Conv1d(6, 2, 3, 4), [nn.ReLU()], nn.Sequential(nn.Flatten(), nn.Linear(24, 3))),
    "harkd's blocks": (
        Flat(nn.Conv2d(6, 8, (1, 3)), nn.BatchNorm2d(8)),
        [nn.Sequential(nn.Conv1d(8, 8, 1), nn.BatchNorm1d(8), nn.ReLU())],
        PooledHead(8, 3, dropout=0.5),
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("scaler", [True, False], ids=["scaled", "as it is"])
def test_a_foreign_net_of_plain_layers_is_plain(name: str, scaler: bool) -> None:
    net = shaken(staged(*FOREIGN[name]), 6, scaler)
    deployed = deploy(net, factors := torch.rand(6) + 0.5)
    assert deployed.plain
    assert distance(net, deployed, 2 * torch.randn(4, 6, 50) + 1, factors) < 1e-5


class Backwards(nn.Sequential):
    """A chain by its type, but not in what it does."""

    def forward(self, x: Tensor) -> Tensor:
        for part in reversed(self):
            x = part(x)
        return x


OTHER: dict[str, tuple[nn.Module, list[nn.Module], nn.Module]] = {
    "its own forward": (nn.Conv1d(6, 8, 3), [Backwards(nn.Conv1d(8, 8, 3), nn.BatchNorm1d(8), nn.ReLU())], nn.Sequential(*HEAD)),
    "an unknown layer": (nn.Conv1d(6, 8, 3), [nn.GELU()], nn.Sequential(*HEAD)),
    "statistics of the batch": (nn.Conv1d(6, 8, 3), [nn.BatchNorm1d(8, track_running_stats=False)], nn.Sequential(*HEAD)),
    "norm behind the pooling": (
        nn.Conv1d(6, 8, 3),
        [nn.ReLU()],
        nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, 3)),
    ),
    "convolution behind the pooling": (
        nn.Conv1d(6, 8, 3),
        [nn.ReLU()],
        nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Conv1d(8, 3, 1), nn.Flatten()),
    ),
    "pooled to two": (
        nn.Conv1d(6, 4, 3),
        [nn.ReLU()],
        nn.Sequential(nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, 3)),
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_any_other_net_keeps_its_form_and_its_answers(name: str) -> None:
    net = shaken(staged(*OTHER[name]), 6)
    deployed = deploy(net, factors := torch.rand(6) + 0.5)
    assert not deployed.plain
    assert distance(net, deployed, torch.randn(4, 6, 50), factors) < 1e-5


def test_the_trained_net_stays_as_it_is() -> None:
    net = shaken(build("dscnn-xs", 6, 7), 6).train()
    net(torch.randn(4, 6, 64)).logits.sum().backward()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    gradients = {name: part.grad.clone() for name, part in net.named_parameters() if part.grad is not None}
    deployed = deploy(net, torch.full((6,), 2.0))
    assert net.training
    assert all(part.training for part in net.modules())
    assert all(part.requires_grad for part in net.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert gradients
    assert all(torch.equal(part.grad, gradients[name]) for name, part in net.named_parameters() if part.grad is not None)
    mine = {tensor.data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    assert not mine & {tensor.data_ptr() for tensor in (*deployed.parameters(), *deployed.buffers())}
    assert not any(part.training for part in deployed.modules())


def test_the_edge_of_a_window_by_hand() -> None:
    """One channel, kernel (2, 3, 4), standardised by y = (x - 10) / 5: training pads y with 0, which is x = 10.

    The window x = (15, 20, 10) is y = (1, 2, 0): outputs 3 * 1 + 4 * 2 = 11, 2 * 1 + 3 * 2 + 0 = 8 and 2 * 2 + 0 = 4. Padding x
    with 0 instead would give y = -2 there: 11 + 2 * -2 = 7 and 4 + 4 * -2 = -4 at the edges, and 8 between.
    """
    conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)
    conv.weight.data.copy_(torch.tensor([[[2.0, 3.0, 4.0]]]))
    net = staged(conv, [nn.Identity()], nn.Flatten(), Scaler(torch.tensor([10.0]), torch.tensor([5.0]))).eval()
    deployed = deploy(net)
    edges, inner, _ = deployed.body.children()
    x = torch.tensor([[[[15.0, 20.0, 10.0]]]])
    assert deployed(x).tolist()[0] == pytest.approx([11, 8, 4], abs=1e-5)
    assert edges(x).flatten().tolist() == [10, 15, 20, 10, 10]
    wrong = inner(nn.functional.pad(x, (1, 1))).flatten()
    assert wrong.tolist() == pytest.approx([11 - 4, 8, 4 - 8], abs=1e-5)


def test_edges_are_in_the_units_of_the_watch() -> None:
    """A watch that gives values a hundredth as large (factor 100) pads with 0.1 where training pads with 10."""
    net = staged(nn.Conv1d(1, 1, 3, padding=1), [], nn.Flatten(), Scaler(torch.tensor([10.0]), torch.tensor([5.0]))).eval()
    edges = next(deploy(net, torch.tensor([100.0])).body.children())
    assert isinstance(edges, Edges)
    assert float(edges.left) == pytest.approx(0.1)


def test_pooling_is_mean_and_maximum() -> None:
    x = torch.randn(3, 5, 1, 7)
    assert torch.allclose(Pool()(x), x.mean((2, 3)), atol=1e-6)
    both = Pool(largest=True)(x)
    assert torch.allclose(both[:, :5], x.mean((2, 3)), atol=1e-6)
    assert torch.equal(both[:, 5:], x.amax((2, 3)))


def test_a_channel_that_norms_away_keeps_its_place() -> None:
    """Where the map before the first convolution is not invertible, nothing can pad as training does: it stays a layer."""
    norm = nn.BatchNorm1d(2)
    norm.weight.data.copy_(torch.tensor([0.0, 1.0]))
    norm.bias.data.copy_(torch.tensor([1.0, -1.0]))
    net = staged(norm, [nn.Conv1d(2, 8, 3, padding=1)], nn.Sequential(*HEAD)).eval()
    deployed = deploy(net)
    first = next(deployed.body.children())
    assert isinstance(first, nn.Conv2d)
    assert (first.kernel_size, first.groups) == ((1, 1), 2)
    assert distance(net, deployed, torch.randn(2, 2, 20)) < 1e-5
