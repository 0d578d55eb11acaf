"""Nets: published sizes, a second implementation in plain 1-d layers, and what every net promises."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from harkd.datasets import Sees, Sensor
from harkd.errors import UsageError
from harkd.nets import NETS, Flat, Inputs, Net, Outputs, PooledHead, Seen, build, staged
from harkd.nets.dscnn import SIZES

NAMES = ["dscnn-xs", "dscnn-m", "wrn1d-10-1", "wrn1d-16-2"]


def made(name: str, channels: int = 6, classes: int = 3, seed: int = 0) -> Net:
    """A net whose batch norm has seen data, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(name, channels, classes)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
        net.train()
        for _ in range(3):
            net(1 + 2 * torch.randn(16, channels, 40))
    return net.eval()


def windows(batch: int, channels: int, time: int, seed: int = 1) -> Tensor:
    return 1 + 2 * torch.randn(batch, channels, time, generator=torch.Generator().manual_seed(seed))


class OneDimensional(nn.Module):
    """The twin of a 2-d layer over (1, time): the same weights in torch's 1-d layer."""

    @staticmethod
    def of(net: nn.Module) -> nn.Module:
        twin = copy.deepcopy(net)
        for parent in list(twin.modules()):
            for name, child in parent.named_children():
                if isinstance(child, Flat):
                    setattr(parent, name, child.body)
        for parent in list(twin.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.Conv2d):
                    plain: nn.Module = nn.Conv1d(
                        child.in_channels,
                        child.out_channels,
                        child.kernel_size[1],
                        child.stride[1],
                        child.padding[1],
                        groups=child.groups,
                        bias=False,
                    )
                    plain.load_state_dict({"weight": child.weight[:, :, 0]})
                    setattr(parent, name, plain)
                elif isinstance(child, nn.BatchNorm2d):
                    plain = nn.BatchNorm1d(child.num_features)
                    plain.load_state_dict(child.state_dict())
                    setattr(parent, name, plain.train(child.training))
        assert not any(isinstance(module, nn.Conv2d | nn.BatchNorm2d | Flat) for module in twin.modules())
        return twin


@pytest.mark.parametrize(
    ("name", "three_axes", "forty_channels"),
    [
        ("wrn1d-16-1", 61_374, 63_020),
        ("wrn1d-16-3", 536_254, 537_644),
        ("wrn1d-16-8", 3_774_654, 3_775_404),
        ("wrn1d-28-1", 126_782, 128_428),
        ("wrn1d-28-3", 1_119_550, 1_120_940),
    ],
)
def test_wrn_has_the_published_number_of_parameters(name: str, three_axes: int, forty_channels: int) -> None:
    assert build(name, 3, 14).parameter_count == three_axes
    assert build(name, 40, 12).parameter_count == forty_channels


def test_wrn_by_hand() -> None:
    net, x = made("wrn1d-16-2").double(), windows(4, 6, 37).double()
    weights = net.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (weights[f"{name}.{k}"][:, None] for k in ("running_mean", "running_var", "weight", "bias"))
        return (scale * (x - mean) / (var + 1e-5).sqrt() + shift).clamp_min(0)

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"][:, :, 0]
        return F.conv1d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    h = conv(x, "stem.body.0")
    for stage, stride in enumerate((1, 2, 2)):
        for block in range(2):
            at, step = f"stages.{stage}.body.{block}", stride if block == 0 else 1
            active = norm(h, f"{at}.bn1")
            around = conv(active, f"{at}.shortcut", step) if block == 0 else h
            h = around + conv(norm(conv(active, f"{at}.conv1", step), f"{at}.bn2"), f"{at}.conv2")
    h = norm(h, "stages.2.body.2").mean(2)
    logits = h @ weights["head.linear.weight"].T + weights["head.linear.bias"]
    torch.testing.assert_close(net(x).logits, logits, rtol=1e-12, atol=1e-12)


def test_wrn_starts_as_published() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build("wrn1d-16-3", 6, 3)
    kernel = net.stages[2].body[1].conv1.weight
    assert kernel.shape == (192, 192, 1, 3)
    assert kernel.std().item() == pytest.approx((2 / (3 * 192)) ** 0.5, rel=0.01)
    assert not net.head.linear.bias.any()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", NAMES)
def test_the_layout_inside_changes_no_number(name: str, training: bool) -> None:
    net = made(name).train(training)
    twin = OneDimensional.of(net)
    x = windows(8, 6, 50)
    ours, theirs = net(x), twin(x)
    torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-5, atol=1e-5)
    for mine, other in zip(ours.features, theirs.features, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)
    ours.logits.square().sum().backward()
    theirs.logits.square().sum().backward()
    for mine, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad.flatten(), other.grad.flatten(), rtol=1e-3, atol=1e-3)
    for mine, other in zip(net.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_layers_work_on_channels_last(name: str) -> None:
    net, layouts = made(name), list[bool]()

    def look(module: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        layouts.extend(x.is_contiguous(memory_format=torch.channels_last) for x in (*given, made))

    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    for module in convolutions:
        module.register_forward_hook(look)
    out = net(windows(8, 6, 50))
    assert layouts == [True] * (2 * len(convolutions))
    assert all(features.transpose(1, 2).is_contiguous() for features in out.features)


def test_dscnns_go_from_one_to_sixty_thousand_parameters() -> None:
    counts = [build(f"dscnn-{size}", 6, 7).parameter_count for size in SIZES]
    assert counts == sorted(counts)
    assert 900 < counts[0] < 1_500
    assert 55_000 < counts[-1] < 65_000
    assert all(later < 5 * earlier for earlier, later in pairwise(counts))


@pytest.mark.parametrize("size", SIZES)
def test_dscnns_keep_to_what_every_watch_runtime_does_well(size: str) -> None:
    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            ops.add(func.overloadpacket.__name__)
            return func(*args, **kwargs or {})

    net, x, ops = build(f"dscnn-{size}", 6, 7).eval(), windows(2, 6, 128), set[str]()
    with Seen(), torch.no_grad():
        net(x)
    views = {"unsqueeze", "squeeze", "transpose", "t", "empty", "clone", "detach"}
    assert ops - views == {"convolution", "native_batch_norm", "relu", "mean", "addmm"}
    assert all(module.out_channels % 8 == 0 for module in net.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize("name", NAMES)
def test_shapes(name: str) -> None:
    net = made(name, channels=5, classes=4)
    out = net(windows(3, 5, 64))
    assert out.logits.shape == (3, 4)
    assert out.embedding is not None
    assert out.embedding.shape == (3, net.head.linear.in_features)
    assert len(out.features) == len(net.stages)
    assert all(f.dim() == 3 and f.shape[0] == 3 for f in out.features)
    expected = {"dscnn": [16, 8, 8, 8], "wrn1d": [64, 32, 16]}[name.split("-")[0]]
    assert [f.shape[2] for f in out.features] == expected
    torch.testing.assert_close(out.embedding, out.features[-1].mean(2))
    assert (out.heads, out.attention) == ((), ())


@pytest.mark.parametrize("name", NAMES)
def test_the_tail_of_every_stage_gives_the_logits(name: str) -> None:
    net = made(name)
    out = net(windows(7, 6, 45))
    for k, features in enumerate(out.features):
        assert torch.equal(net.tail(features, k), out.logits)


@pytest.mark.parametrize("name", ["dscnn-xs", "dscnn-m", "wrn1d-10-1"])
def test_windows_of_any_length(name: str) -> None:
    net = made(name)
    with torch.no_grad():
        for time in range(1, 131):
            assert net(windows(1, 6, time)).logits.isfinite().all()


def test_examples_of_every_family_can_be_built() -> None:
    for family in NETS.values():
        for name in family.examples[:3]:
            assert build(name, 2, 2)(torch.zeros(2, 2, 8)).logits.shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dscnn-n", "unknown net 'dscnn-n': did you mean 'dscnn-"),
        ("wrn1d-16", "unknown net 'wrn1d-16': did you mean 'wrn1d-16-"),
        ("wrn1d-16-1 ", "unknown net 'wrn1d-16-1 ': did you mean 'wrn1d-16-1'"),
        ("resnet", "choose from dscnn-l"),
        ("wrn1d-17-1", "the depth is 6 n \\+ 4"),
        ("wrn1d-4-1", "the depth is 6 n \\+ 4"),
        ("wrn1d-16-0", "the widening at least 1"),
    ],
)
def test_names_that_are_not_understood(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(name, 6, 3)


def test_inputs_are_what_a_player_sees() -> None:
    sensors = {s.name: s for s in (Sensor("acc", "acc", "g", 50.0), Sensor("cap", "eeg", "uV", 100.0, ("C3", "Cz")))}
    inputs = Inputs.of(Sees.parse("cap[Cz],acc@20Hz", sensors, {"acc": 50, "cap": 100}))
    cap, acc = Seen("cap", "eeg", ("Cz",)), Seen("acc", "acc", ("x", "y", "z"))
    assert inputs == Inputs(4, 20, 20.0, (cap, acc))
    assert inputs.pick(["acc"]) == (Inputs(3, 20, 20.0, (acc,)), (1, 2, 3))
    assert inputs.pick([]) == (Inputs(0, 20, 20.0), ())
    assert (str(inputs), str(Inputs(4))) == ("cap, acc", "4 channels of unknown sensors")


def test_most_nets_ask_for_the_number_of_channels_alone() -> None:
    for name in NAMES:
        assert build(name, 5, 3).parameter_count == build(name, Inputs(5, 64, 50.0), 3).parameter_count


def test_a_foreign_network_joins_with_its_own_modules() -> None:
    torch_net = nn.Sequential(nn.Conv1d(6, 8, 5), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 26, 3))
    net = staged(torch_net[0], [torch_net[1], torch_net[2]], torch_net[3:])
    x = windows(4, 6, 32)
    out = net(x)
    assert torch.equal(out.logits, torch_net(x))
    assert out.embedding is None
    assert torch.equal(out.features[0], torch_net[:2](x))
    assert torch.equal(net.tail(out.features[0], 0), out.logits)
    assert net.parameter_count == sum(p.numel() for p in torch_net.parameters())


def test_a_foreign_head_may_give_an_embedding() -> None:
    out = staged(nn.Identity(), [nn.ReLU()], PooledHead(6, 3))(windows(4, 6, 32))
    assert out.embedding is not None
    torch.testing.assert_close(out.embedding, windows(4, 6, 32).relu().mean(2))


def test_dropout_of_the_head_spares_the_embedding() -> None:
    head = PooledHead(6, 3, dropout=0.999).train()
    logits, embedding = head(windows(4, 6, 32))
    torch.testing.assert_close(embedding, windows(4, 6, 32).mean(2))
    assert not torch.allclose(logits, head.linear(embedding))
    assert torch.equal(head.eval()(windows(4, 6, 32))[0], head.linear(embedding))


FULL = Outputs(torch.ones(2), (torch.ones(3), torch.ones(4)), torch.ones(5), (torch.ones(6),), (torch.ones(7),))
BARE = Outputs(torch.ones(2))


@pytest.mark.parametrize("outputs", [FULL, BARE], ids=["full", "bare"])
def test_outputs_map_to_every_tensor_in_the_order_of_leaves(outputs: Outputs) -> None:
    visited: list[int] = []
    doubled = outputs.map(lambda t: visited.append(len(t)) or 2 * t)
    leaves = _pytree.tree_leaves(outputs)
    assert visited == [len(leaf) for leaf in leaves]
    assert [leaf.sum().item() for leaf in _pytree.tree_leaves(doubled)] == [2 * n for n in visited]
    assert _pytree.tree_structure(doubled) == _pytree.tree_structure(outputs)
    rebuilt = _pytree.tree_map(lambda t: 2 * t, outputs)
    assert isinstance(rebuilt, Outputs)
    assert len(visited) == (6 if outputs is FULL else 1)


def test_detached_outputs_stop_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    outputs = FULL.map(lambda t: t * weight.sum())
    assert all(leaf.requires_grad for leaf in _pytree.tree_leaves(outputs))
    assert not any(leaf.requires_grad for leaf in _pytree.tree_leaves(outputs.detach()))


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16(name: str) -> None:
    net, x = made(name), windows(16, 6, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = net(x)
    assert out.logits.dtype == torch.bfloat16
    with torch.no_grad():
        plain = net(x).logits
    torch.testing.assert_close(out.logits.float(), plain, rtol=0.05, atol=0.05 * plain.abs().max().item())


@pytest.mark.parametrize("name", ["dscnn-xs", "wrn1d-10-1"])
def test_stacked_nets_give_what_each_gives_alone(name: str) -> None:
    nets = [made(name, seed=seed).double() for seed in range(3)]
    x = windows(3 * 5, 6, 33).double().unflatten(0, (3, 5))
    parameters, buffers = stack_module_state(nets)
    skeleton = copy.deepcopy(nets[0]).to("meta")
    stacked = vmap(lambda p, b, x: functional_call(skeleton, (p, b), (x,)))(parameters, buffers, x)
    for member, net in enumerate(nets):
        alone = net(x[member])
        torch.testing.assert_close(stacked.logits[member], alone.logits, rtol=0, atol=1e-12)
        for mine, other in zip(stacked.features, alone.features, strict=True):
            torch.testing.assert_close(mine[member], other, rtol=0, atol=1e-12)
