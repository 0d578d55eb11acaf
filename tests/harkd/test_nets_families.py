"""Residual CNNs, patch transformers, EEGNet: sizes worked out by hand, second implementations, and what every net promises."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from harkd.errors import UsageError
from harkd.nets import NETS, Inputs, Net, Seen, build, family
from harkd.nets.eegnet import AcrossElectrodes
from harkd.nets.patchformer import positions

BODY = NETS["skeleton"].special["skeleton-m"].sensors[0]
IMU = (Seen("acc", "acc", ("x", "y", "z")), Seen("gyro", "gyro", ("x", "y", "z")))


def told(name: str, time: int) -> Inputs:
    """Inputs that a net can be built for, as small as may be."""
    if name.startswith("fusion"):
        return Inputs(66, time, 50.0, (BODY, *IMU))
    if name.startswith("skeleton"):
        return Inputs(60, time, 25.0, (BODY,))
    return Inputs(6, time, 50.0, IMU)


NAMES = [
    "resnet1d-s",
    "patchformer-xs",
    "patchformer-s",
    "skeleton-s",
    "skeleton-s-raw",
    "eegnet-8-2",
    "eegnet-2-3-d25",
    "sccnet",
    "shallowconvnet",
    "fusion-skeleton-s+resnet1d-s",
    "fusion-patchformer-xs+skeleton-s-raw",
]
every = pytest.mark.parametrize("name", NAMES)


def made(name: str, time: int = 40, seed: int = 0) -> Net:
    """A net whose batch norm has seen data, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build(name, told(name, time), 3)
        for _ in range(3):
            net(windows(name, 16, time, int(torch.randint(1000, ()))))
    return net.eval()


def windows(name: str, batch: int, time: int, seed: int = 1) -> Tensor:
    noise = torch.randn(batch, told(name, time).width, time, generator=torch.Generator().manual_seed(seed))
    return 1 + 2 * noise


@pytest.mark.parametrize(
    ("name", "inputs", "classes", "parameters"),
    [
        # Norm, stem with norm, blocks (conv5, conv5, conv1, three norms), classifier on mean and largest value.
        (
            "resnet1d-m",
            6,
            27,
            12
            + (6 * 48 * 7 + 96)
            + sum(5 * a * b + 5 * b * b + a * b + 6 * b for a, b in ((48, 48), (48, 64), (64, 96)))
            + (192 * 27 + 27),
        ),
        (
            "skeleton-m",
            told("skeleton", 64),
            27,
            360
            + (180 * 64 * 3 + 128)
            + sum(5 * a * b + 5 * b * b + a * b + 6 * b for a, b in ((64, 64), (64, 96), (96, 128)))
            + (256 * 27 + 27),
        ),
        # Patches, blocks (8 width^2 and 11 width), last norm, classifier.
        ("patchformer-xs", 6, 7, (6 * 8 * 16 + 16) + 2 * (8 * 16**2 + 11 * 16) + 32 + (16 * 7 + 7)),
        ("patchformer-s", 6, 7, (6 * 8 * 32 + 32) + 2 * (8 * 32**2 + 11 * 32) + 64 + (32 * 7 + 7)),
        ("patchformer-m", 6, 7, (6 * 8 * 64 + 64) + 3 * (8 * 64**2 + 11 * 64) + 128 + (64 * 7 + 7)),
        # 128 Hz: kernels 64 and 16; 562 samples: 17 steps, so that the classifier is the published 272 -> 4.
        (
            "eegnet-8-2",
            Inputs(22, 562, 128.0),
            4,
            (8 * 64 + 16) + (16 * 22 + 32) + (16 * 16 + 16 * 16 + 32) + (272 * 4 + 4),
        ),
        ("fusion-skeleton-m+resnet1d-m", told("fusion", 64), 27, 327_363 + 155_783),
    ],
)
def test_parameters_by_hand(name: str, inputs: int | Inputs, classes: int, parameters: int) -> None:
    assert build(name, inputs, classes).parameter_count == parameters


def test_the_teachers_of_utd_mhad_have_their_size() -> None:
    assert build("resnet1d-m", 6, 27).parameter_count == 155_783
    assert build("skeleton-m", told("skeleton", 64), 27).parameter_count == 327_363
    assert [build(f"patchformer-{size}", 6, 7).parameter_count for size in ("xs", "s", "m")] == [5_383, 18_951, 104_135]


# What every net promises


@every
def test_shapes_and_tails(name: str) -> None:
    net, x = made(name), windows(name, 5, 40)
    with torch.no_grad():
        out = net(x)
        assert out.logits.shape == (5, 3)
        assert out.embedding is not None
        assert out.embedding.shape == (5, out.embedding.shape[1])
        assert len(out.features) == len(net.stages)
        for k, features in enumerate(out.features):
            assert features.dim() == 3
            assert len(features) == 5
            torch.testing.assert_close(net.tail(features, k), out.logits, rtol=1e-5, atol=1e-5)
        linear = [module for module in net.head.modules() if isinstance(module, nn.Linear)]
        assert linear[-1].out_features == 3
        assert sum(module.in_features for module in linear) == out.embedding.shape[1]


@every
def test_a_window_does_not_mind_its_neighbours(name: str) -> None:
    net, x = made(name), windows(name, 9, 40)
    with torch.no_grad():
        whole = net(x)
        for part in (x[:1], x[:4], x):
            torch.testing.assert_close(net(part).logits, whole.logits[: len(part)], rtol=1e-5, atol=1e-5)


@every
def test_windows_of_any_length(name: str) -> None:
    fixed = None if name.startswith(("eegnet", "sccnet", "shallowconvnet")) else made(name)
    with torch.no_grad():
        for time in (*range(1, 34), 63, 64, 65, 100, 511, 512, 513):
            net = fixed or build(name, told(name, time), 3).eval()
            assert net(windows(name, 2, time)).logits.isfinite().all()


@every
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_constant_windows_stay_finite_and_teach(name: str, level: float) -> None:
    net = build(name, told(name, 40), 3).train()
    x = torch.full((4, told(name, 40).width, 40), level, requires_grad=True)
    out = net(x)
    out.logits.square().sum().backward()
    assert out.logits.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@every
def test_stacked_nets_give_what_each_gives_alone(name: str) -> None:
    nets = [made(name, seed=seed).double() for seed in range(2)]
    x = windows(name, 2 * 3, 40).double().unflatten(0, (2, 3))
    parameters, buffers = stack_module_state(nets)
    base = copy.deepcopy(nets[0]).to("meta")
    # Positions of channels are the same for all: what is not stacked, a net keeps for itself.
    for module, own in zip(base.modules(), nets[0].modules(), strict=True):
        for key in own._non_persistent_buffers_set:
            setattr(module, key, getattr(own, key))
    whole = {key: value for key, value in buffers.items() if value.is_floating_point() or "num_batches" in key}
    stacked = vmap(lambda p, b, x: functional_call(base, (p, b), (x,)))(parameters, whole, x)
    for member, net in enumerate(nets):
        torch.testing.assert_close(stacked.logits[member], net(x[member]).logits, rtol=0, atol=1e-10)


@every
def test_a_net_can_be_traced_whole(name: str) -> None:
    """As `--compiled` does, but for the kernels."""
    net, x = made(name), windows(name, 4, 40)
    with torch.no_grad():
        traced = torch.compile(net, fullgraph=True, backend="eager")(x)
        torch.testing.assert_close(traced.logits, net(x).logits)


@every
def test_bfloat16_is_close(name: str) -> None:
    net, x = made(name), windows(name, 16, 40)
    with torch.no_grad():
        plain = net(x).logits
        with torch.autocast("cpu", torch.bfloat16):
            short = net(x).logits
    torch.testing.assert_close(short.float(), plain, rtol=0.1, atol=0.1 * plain.abs().max().item())


@every
def test_a_stored_net_is_the_same_net(name: str) -> None:
    net, x = made(name), windows(name, 4, 40)
    other = build(name, told(name, 40), 3).eval()
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x).logits, net(x).logits)
    storages = [tensor.data_ptr() for tensor in net.state_dict().values()]
    assert len(set(storages)) == len(storages), "safetensors stores no tensor twice"


@every
def test_two_classes_can_be_learned(name: str) -> None:
    """A slow or a fast movement, of unknown phase, in noise."""
    draw = torch.Generator().manual_seed(0)

    def batch(size: int) -> tuple[Tensor, Tensor]:
        inputs, label = told(name, 40), torch.randint(2, (size,), generator=draw)
        phase = torch.rand(size, inputs.width, 1, generator=draw)
        turns = (2 + 5 * label)[:, None, None] * torch.arange(40) / 40
        still = torch.linspace(-1, 1, inputs.width)[:, None]
        noise = torch.randn(size, inputs.width, 40, generator=draw)
        return still + 0.1 * torch.sin(2 * math.pi * (turns + phase)) + 0.03 * noise, label

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = build(name, told(name, 40), 2)
        x, _ = batch(200)
        fixed = torch.ones(told(name, 40).width)
        fixed[list(net.physical)] = 0
        net.scaler = _Standard(x.mean((0, 2)) * fixed, x.std((0, 2)) ** fixed)
        optimiser = torch.optim.AdamW(net.parameters(), 5e-3)
        for _ in range(60):
            x, label = batch(32)
            out = net(x)
            loss = sum((F.cross_entropy(told, label) for told in out.heads), F.cross_entropy(out.logits, label))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        x, label = batch(200)
        assert (net.eval()(x).logits.argmax(1) == label).float().mean() > 0.9


class _Standard(nn.Module):
    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean[:, None], std[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


@pytest.mark.parametrize("kind", NETS)
def test_examples_are_of_their_family_and_can_be_built(kind: str) -> None:
    for name in (*NETS[kind].examples, *NETS[kind].special):
        assert family(name) is NETS[kind]
    for name, inputs in NETS[kind].special.items():
        assert inputs.width == sum(len(sensor.channels) for sensor in inputs.sensors)
        assert build(name, inputs, 2).parameter_count > 0


# Residual CNN


def test_a_residual_net_by_hand() -> None:
    net, x = made("resnet1d-s").double(), windows("resnet1d-s", 3, 41).double()
    weights = net.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (weights[f"{name}.{k}"][:, None] for k in ("running_mean", "running_var", "weight", "bias"))
        return scale * (x - mean) / (var + 1e-5).sqrt() + shift

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"][:, :, 0]
        return F.conv1d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

    h = norm(conv(norm(x, "stem.body.0"), "stem.body.1", 2), "stem.body.2").relu()
    for stage in range(3):
        at = f"stages.{stage}.body.0"
        through = norm(conv(norm(conv(h, f"{at}.conv1", 2), f"{at}.bn1").relu(), f"{at}.conv2"), f"{at}.bn2")
        h = (through + norm(conv(h, f"{at}.shortcut", 2), f"{at}.bn3")).relu()
    embedding = torch.cat([h.mean(2), h.max(2).values], 1)
    logits = embedding @ weights["head.linear.weight"].T + weights["head.linear.bias"]
    out = net(x)
    torch.testing.assert_close(out.logits, logits, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(out.embedding, embedding, rtol=1e-12, atol=1e-12)
    assert [features.shape[2] for features in out.features] == [11, 6, 3]


# Patch transformer


def test_a_block_is_torchs_encoder_layer() -> None:
    net = made("patchformer-s").double()
    block = net.stages[0]
    theirs = nn.TransformerEncoderLayer(
        32, 4, 64, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
    ).eval()
    mine = block.state_dict()
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": mine["queries.weight"],
            "self_attn.in_proj_bias": mine["queries.bias"],
            **{f"self_attn.out_proj.{k}": mine[f"project.{k}"] for k in ("weight", "bias")},
            **{f"linear{i}.{k}": mine[f"mlp.{2 * i - 2}.{k}"] for i in (1, 2) for k in ("weight", "bias")},
            **{f"norm{i}.{k}": mine[f"norm{i}.{k}"] for i in (1, 2) for k in ("weight", "bias")},
        }
    )
    x = torch.randn(3, 32, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), theirs(x.transpose(1, 2)).transpose(1, 2), rtol=1e-10, atol=1e-10)


def test_attention_is_told_when_asked_for() -> None:
    net, x = made("patchformer-s"), windows("patchformer-s", 3, 45)
    plain = net(x)
    assert plain.attention == ()
    net.attends = True
    asked = net(x)
    assert torch.equal(asked.logits, plain.logits)
    assert [weights.shape for weights in asked.attention] == [(3, 4, 6, 6)] * 2
    assert all(torch.allclose(weights.sum(3), torch.ones(3, 4, 6)) for weights in asked.attention)


def test_the_last_value_is_held_up_to_a_whole_patch() -> None:
    net, x = made("patchformer-xs"), windows("patchformer-xs", 2, 13)
    held = torch.cat([x, x[:, :, -1:].repeat(1, 1, 3)], 2)
    assert torch.equal(net(x).logits, net(held).logits)


def test_places_in_time_matter_and_do_not_depend_on_the_length() -> None:
    table = positions(16, 64, torch.device("cpu"))
    assert torch.equal(table[:9], positions(16, 9, torch.device("cpu")))
    assert table[3, :2].tolist() == pytest.approx([math.sin(3), math.cos(3)])
    net, x = made("patchformer-xs"), windows("patchformer-xs", 2, 40)
    swapped = torch.cat([x[:, :, 8:], x[:, :, :8]], 2)
    assert not torch.allclose(net(x).logits, net(swapped).logits, atol=1e-3)


# EEGNet


@pytest.mark.parametrize(("rate", "early", "late"), [(128.0, 64, 16), (125.0, 62, 15), (250.0, 125, 31), (1.0, 1, 1)])
def test_kernels_of_eegnet_last_half_a_second(rate: float, early: int, late: int) -> None:
    net = build("eegnet-8-2", Inputs(4, 256, rate), 4)
    assert net.stages[0].body[1].kernel_size == (1, early)
    assert net.stages[1].body[3].kernel_size == (1, late)
    assert [f.shape[2] for f in net(torch.zeros(2, 4, 256)).features] == [256, 64], "as long as the window, pooled by 4"


def test_eegnets_spatial_filters_are_a_grouped_convolution() -> None:
    mine = AcrossElectrodes(8, 16, (5, 1), groups=8, bias=False)
    x = torch.randn(3, 8, 5, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mine(x), F.conv2d(x, mine.weight, groups=8), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "dropout"), [("eegnet-8-2", 0.5), ("eegnet-8-2-d25", 0.25), ("eegnet-4-1-d00", 0.0)])
def test_dropout_of_eegnet(name: str, dropout: float) -> None:
    net = build(name, Inputs(4, 256, 128.0), 4)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [dropout] * 2


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: build("eegnet-8-2", 22, 4), r"^eegnet needs to know length and rate of its windows; it was told of 22 channels"),
        (lambda: build("eegnet-0-2", Inputs(22, 99, 9.0), 4), r"^eegnet-0-2: at least 1 temporal filter"),
        (
            lambda: build("eegnet-8-2", Inputs(2, 64, 9.0), 4)(torch.zeros(2, 2, 96)),
            r"^this eegnet was built for 2 pooled time steps, and a window gave 3$",
        ),
    ],
)
def test_what_eegnet_does_not_take(call: Callable[[], object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call()
