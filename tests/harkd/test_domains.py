"""Domains: one net whose kernels several domains share, and the windows that they see of the same data or of another set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from harkd.datasets import Windows
from harkd.domains import domain, domains_of
from harkd.errors import DataError, UsageError
from harkd.methods import METHODS
from harkd.nets import Inputs, Net, build
from harkd.nets.tied import NORMS, Widened, with_own_norms
from harkd.options import Distill
from harkd.parts import Parts

NETS = ("dscnn-xs", "wrn1d-10-1", "resnet1d-s", "patchformer-xs", "eegnet-4-2")
every = pytest.mark.parametrize("name", NETS)


def made(name: str, width: int = 6) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(name, Inputs(width, 32, 50.0), 3)


def parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    return dict(net.named_parameters())


def own(net: Net) -> set[str]:
    """Names of the parameters of normalisation layers."""
    norms = [name for name, module in net.named_modules() if isinstance(module, NORMS)]
    return {name for name in parameters(net) if name.rpartition(".")[0] in norms}


# Nets


@every
def test_kernels_are_the_same_objects_and_norms_are_not(name: str) -> None:
    net = made(name)
    other = with_own_norms(net, 6, 6)
    mine, theirs = parameters(net), parameters(other)
    assert mine.keys() == theirs.keys()
    assert {key for key in mine if mine[key] is not theirs[key]} == own(net) != set()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    modules = zip(net.modules(), other.modules(), strict=True)
    assert all(a is not b for a, b in modules), "a module of both would count statistics of both"


@pytest.mark.parametrize(("name", "width"), [("dscnn-xs", 9), ("wrn1d-10-1", 1), ("resnet1d-s", 3), ("patchformer-xs", 9)])
def test_what_another_domain_adds(name: str, width: int) -> None:
    """Twice the channels of all norms and, for another width, a convolution of kernel 1."""
    net = made(name)
    channels = sum(module.weight.numel() for module in net.modules() if isinstance(module, NORMS))
    for wide, stem in ((6, 0), (width, 6 * width + 6)):
        other = with_own_norms(net, wide, 6)
        every_one = {id(p): p for each in (net, other) for p in each.parameters()}
        assert sum(p.numel() for p in every_one.values()) - net.parameter_count == 2 * channels + stem
        assert isinstance(other.stem, Widened) == (stem > 0)
        assert other(torch.randn(4, wide, 32)).logits.shape == (4, 3)


def statistics(net: nn.Module) -> dict[str, Tensor]:
    return {name: v.clone() for name, v in net.named_buffers()}


@every
def test_statistics_of_one_domain_are_not_those_of_another(name: str) -> None:
    net = made(name)
    other = with_own_norms(net, 6, 6)
    for one, two in ((net, other), (other, net)):
        before, untouched = statistics(one), statistics(two)
        one(3 + 2 * torch.randn(8, 6, 32))
        assert all(torch.equal(v, untouched[key]) for key, v in two.named_buffers())
        moved = {key.rpartition(".")[2] for key, v in one.named_buffers() if not torch.equal(v, before[key])}
        assert moved == (set() if name.startswith("patchformer") else {"running_mean", "running_var", "num_batches_tracked"})


@every
def test_both_domains_teach_the_kernels(name: str) -> None:
    net = made(name)
    other = with_own_norms(net, 3, 6)
    other(torch.randn(8, 3, 32)).logits.square().sum().backward()
    mine, private = parameters(net), own(net)
    assert all((mine[key].grad is None) == (key in private) for key in mine)


def test_the_other_net_begins_as_the_first() -> None:
    net, x = made("dscnn-xs"), torch.randn(8, 6, 32)
    net(3 * x)
    other = with_own_norms(net, 6, 6)
    for one in (net, other):
        one.eval()
    assert torch.equal(net(x).logits, other(x).logits)


# Windows


def other_set(toy: Any, name: str = "waves", **changes: Any) -> Windows:
    """Windows of another data set, with another target of other classes in another order."""
    windows: Windows = toy.train
    target = replace(windows.card.target, name="gait", classes=changes.pop("classes", ("fast", "idle", "slow")))
    card = replace(windows.card, name=name, target=target)
    values = replace(windows.targets["movement"], classes=target.classes)
    return replace(windows, card=card, targets={"gait": values, "side": values})


def parts_of(windows: Windows) -> Parts:
    return Parts(windows, windows, windows, {})


def test_the_domain_of_another_sensor(toy: Any) -> None:
    student = toy.player(toy.net(3), sees="acc@20Hz")
    player, windows = domain("domain-1", student, toy.train, parts_of(toy.train), "gyro[x,z]")
    assert (player.domain, player.mode, player.augment) == ("domain-1", "train", "same")
    assert player.sees.text == "gyro[x,z]@20Hz", "shared kernels look at one rate"
    assert torch.equal(windows.ids, toy.train.ids)
    assert torch.equal(windows.labels, toy.train.labels)
    assert player.net.scaler.mean.flatten().tolist() == pytest.approx(toy.statistics.mean["gyro"][[0, 2]].tolist())
    assert player.look(windows.gather(torch.arange(4))).logits.shape == (4, 3)


def test_first_weights_are_a_function_of_seed_and_name(toy: Any) -> None:
    """Whatever was drawn before; the kernels that are shared are the student's."""

    def stem(name: str, seed: int) -> Tensor:
        torch.rand(7)
        player, _ = domain(name, toy.player(), toy.train, parts_of(toy.train), "gyro[x]", seed=seed)
        assert isinstance(player.net.stem, Widened)
        return player.net.stem.widen.weight.detach()

    drawn = torch.random.get_rng_state()
    one = stem("domain-1", 0)
    torch.random.set_rng_state(drawn)
    torch.rand(7)
    after = torch.random.get_rng_state()
    assert torch.equal(stem("domain-1", 0), one)
    assert not torch.equal(stem("domain-1", 1), one)
    assert not torch.equal(stem("domain-2", 0), one)
    torch.random.set_rng_state(drawn)
    stem("domain-1", 3)
    assert torch.equal(torch.random.get_rng_state(), after), "and nobody else's numbers change"


def test_the_domain_of_another_data_set(toy: Any) -> None:
    """Its `fast` is class 0 and the student's class 2; nothing is known of `idle`."""
    student, windows = toy.player(), other_set(toy)
    _, kept = domain("domain-1", student, toy.train, parts_of(windows), "all")
    known = windows.targets["gait"].values != 1
    assert torch.equal(kept.ids, windows.ids[known])
    found = windows.targets["gait"].values[known]
    assert torch.equal(kept.targets["movement"].values, torch.where(found == 0, 2, 0))
    assert kept.targets["movement"].classes == ("slow", "medium", "fast")
    assert torch.equal(kept.labels, kept.targets["movement"].values), "by its own name for the target too"
    assert set(kept.targets) == {"movement", "gait"}
    assert torch.equal(windows.targets["gait"].values, toy.train.labels), "the other set itself is what it was"


def test_a_student_learns_with_another_data_set(toy: Any) -> None:
    student = toy.player()
    players, domains = {"student": student}, {}
    for number, windows in enumerate((other_set(toy), toy.train), 1):
        name = f"domain-{number}"
        players[name], domains[name] = domain(name, student, toy.train, parts_of(windows), "gyro")
    history = toy.fit(METHODS["ummkd"](players, None, toy.plan(epochs=6, domains=domains)))
    for term in ("ce", "ce domain-1", "ce domain-2"):
        assert history[-1]["terms"][term] < 0.8 * history[0]["terms"][term]


@pytest.mark.parametrize(
    ("classes", "error", "says"),
    [
        (("up", "down", "idle"), UsageError, "^waves has no class in common with swings: up, down, idle$"),
        (("up", "down", "slow"), DataError, "^waves and swings have one class in common; at least two are needed$"),
    ],
)
def test_sets_without_common_classes(toy: Any, classes: tuple[str, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        domain("domain-1", toy.player(), toy.train, parts_of(other_set(toy, classes=classes)), "all")


def test_another_rate_is_refused(toy: Any) -> None:
    says = r"^domain-1 sees 'gyro@20Hz' and the student has 50 Hz: they share kernels, so leave the rate of domain-1 out$"
    with pytest.raises(UsageError, match=says):
        domain("domain-1", toy.player(), toy.train, parts_of(toy.train), "gyro@20Hz")
    player, _ = domain("domain-1", toy.player(), toy.train, parts_of(toy.train), "gyro@50Hz")
    assert player.sees.rate == 50.0


def test_channels_that_stay_in_physical_units(toy: Any) -> None:
    """Of a domain as wide as the student the same channels; of any other none, for they reach the net through a mixture."""
    student = toy.player(toy.net(3), sees="acc")
    student.net.physical = (1, 2)
    for sees, wanted in (("gyro", [True, False, False]), ("gyro[x,y]", [True, True])):
        player, _ = domain("domain-1", student, toy.train, parts_of(toy.train), sees)
        assert (player.net.scaler.mean.flatten() != 0).tolist() == wanted


# Options


def test_domains_by_name() -> None:
    options = Distill(data="uci_hapt", data_folder="/there", window=64, split="kfold:3/1")
    assert domains_of(options) == {}
    options = replace(options, domains="wrist_gyro & utd_mhad:skeleton[hip_x,hip_y]")
    mine, other = domains_of(options).values()
    assert list(domains_of(options)) == ["domain-1", "domain-2"]
    assert (mine[0].data, mine[0].split, mine[0].data_folder, mine[1]) == ("uci_hapt", "kfold:3/1", "/there", "wrist_gyro")
    assert (other[0].data, other[0].split, other[0].data_folder) == ("utd_mhad", "official", "")
    assert (other[0].window, other[1]) == (64, "skeleton[hip_x,hip_y]")


def test_the_own_data_set_keeps_its_split_by_whatever_name(world: Any, tmp_path: Any) -> None:
    """A card may be named by its path: with the official split, people could be learnt from who are tested."""
    copy = tmp_path / "the-same.toml"
    copy.write_text(world.card.read_text())
    for data, named in ((str(world.card), str(copy)), ("uci_hapt", "uci_hapt")):
        options = Distill(data=data, data_folder="here", split="loso:person-2", domains=f"{named}:gyro")
        ((found, sees),) = domains_of(options).values()
        assert (found.data, found.split, found.data_folder, sees) == (data, "loso:person-2", "here", "gyro")
    with pytest.raises(UsageError, match="unknown data set 'uci_hapd'"):
        domains_of(Distill(domains="uci_hapd:acc"))


def test_from_the_command_line(world: Any, harkd: Any) -> None:
    """A student of one sensor, whose people's other sensor is a domain, too."""
    words = [*("distill", *world.data), "--student", "dscnn-xs", "--student-sees", "acc", "--epochs", "2", "--batch", "12"]
    said = harkd(*words, "--method", "ummkd")
    assert said.code != 0
    assert "ummkd needs at least one domain, got none" in said.err
    said = harkd(*words, "--method", "ummkd", "--domains", "gyro", "--out", "run")
    assert said.code == 0, said.err
    told = json.loads(Path("run/result.json").read_text())
    assert (told["method"], told["net"], told["parameters"]) == ("ummkd", "dscnn-xs", build("dscnn-xs", 3, 3).parameter_count)
    with safe_open("run/last.safetensors", "pt") as kept:
        assert set(kept.keys()) == {*build("dscnn-xs", 3, 3).state_dict(), "scaler.mean", "scaler.std"}, "the student and no more"
