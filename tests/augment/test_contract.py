"""What every augmentation promises, checked for all of OPS and for what is built of them."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from harkd.augment import OPS, Augmenter, Compose, Draws, OneOf, Spec, Transform, parse, to_text
from harkd.augment.keys import bits
from harkd.datasets import IGNORE
from harkd.errors import UsageError

LENGTHS = [1, 2, 3, 7, 64, 128, 513]
MORE = [
    "jitter(0.3, exact=true)",
    "noise_injection(0.2, exact=true)",
    "scaling(0.3, share=sensor)",
    "removal(1, fill=hold)",
    "removal(1, fill=zero)",
    "rotate(180)",
    "time_warp(0.3, knots=0)",
    "time_warp(0.3, knots=9)",
    "magnitude_warp(0.4, knots=9)",
    "none|mixup(1, partner=other_subject)",
    "one_of(jitter(0.1), rotate(15)+scaling(0.1), none, one_of(shifting(0.5), time_warp(0.2)))",
    "removal(0.5)+noise_injection(0.2)+shifting(0.5)",
    "time_warp(0.2, p=0.5)+jitter(0.1)|mixup(0.4)+mixup(0.4, p=0.5)",
    "joint_jitter(0.02, relative=true)",
    "joint_offset(0.02, relative=true)",
    "rotate_vertical(180, up=z, tilt=90)",
    "cropping(1)",
    "cropping(0.2)+rotate_vertical(20)+stretch(0.1)+joint_offset(0.02)+joint_jitter(0.008)|mixup(0.2, p=0.5)",
]


def everything(bench, **more):
    """Windows of sensors of all kinds, so that every op has something to work on."""
    return bench.windows((bench.acc, bench.gyro, bench.body), **more)


def alone(name: str) -> Compose:
    return Compose((OPS[name](),))


ALL = {**{name: alone(name) for name in OPS}, **{text: parse(text) for text in MORE}}
LEAVES = {name: t for name, t in ALL.items() if len(t.ops) == 1 and not isinstance(t.ops[0], OneOf)}

every = pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
every_op = pytest.mark.parametrize("op", [t.ops[0] for t in LEAVES.values()], ids=LEAVES)


def bitwise(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def same(a, b) -> bool:
    """Whether two batches agree to the bit."""
    return all(bitwise(a.x[n], b.x[n]) for n in a.x) and all(bitwise(a.targets[n], b.targets[n]) for n in a.targets)


# Shape, type, purity


@every
@pytest.mark.parametrize("length", LENGTHS)
def test_shape_and_dtype_are_kept(bench, strategy, length):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle, bench.body), length)
    batch = bench.augment(strategy, windows)
    clean = windows.gather(torch.arange(len(windows)))
    assert list(batch.x) == list(clean)
    for name, x in batch.x.items():
        assert (x.shape, x.dtype, x.device) == (clean[name].shape, torch.float32, clean[name].device)
        assert bool(x.isfinite().all())


@pytest.fixture(scope="module")
def caps(bench):
    """Windows of sensors with 1 to 40 channels, and their specs."""
    made = [bench.windows((bench.eeg(channels),), 64, n=12) for channels in range(1, 41)]
    return [(windows, Spec.of(windows)) for windows in made]


@every
def test_any_number_of_channels(bench, caps, strategy):
    for channels, (windows, spec) in enumerate(caps, 1):
        x = bench.augment(strategy, windows, spec=spec).x["cap"]
        assert x.shape == (12, channels, 64)
        assert bool(x.isfinite().all())


@every
def test_double_precision_is_kept_and_agrees(bench, strategy):
    windows = everything(bench)
    double = replace(windows, signals={name: signal.double() for name, signal in windows.signals.items()})
    spec = Spec.of(windows)
    single, twice = bench.augment(strategy, windows), bench.augment(strategy, double)
    for name, x in twice.x.items():
        assert x.dtype == torch.float64
        torch.testing.assert_close(x.float(), single.x[name], rtol=0, atol=2e-4 * float(spec.std(name, x).max()))


@every
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_constant_signals_stay_finite(bench, strategy, level):
    for length in (1, 2, 7, 64):
        windows = bench.windows(
            (bench.acc, bench.ankle), length, fill=lambda s, total, label: torch.full((3, total), level).numpy()
        )
        for name, x in bench.augment(strategy, windows).x.items():
            assert bool(x.isfinite().all()), name


@every
def test_signals_are_never_written_to(bench, strategy):
    windows = everything(bench)
    before = {name: signal.clone() for name, signal in windows.signals.items()}
    labels = windows.labels.clone()
    augmenter = Augmenter(strategy, windows)
    index = torch.arange(len(windows))
    first = augmenter(index, index)
    assert same(first, augmenter(index, index))
    assert all(torch.equal(windows.signals[name], before[name]) for name in before)
    assert torch.equal(windows.labels, labels)


@every_op
def test_apply_leaves_its_input_and_its_parameters_alone(bench, op):
    windows = everything(bench)
    spec = Spec.of(windows)
    x = windows.gather(torch.arange(len(windows)))
    params = bench.draw(op, spec, len(windows))
    if op.MIXES:
        params["other"] = windows.gather(torch.arange(len(windows)).flip(0))
    copies = {n: s.clone() for n, s in x.items()}, {n: p.clone() for n, p in params.items() if isinstance(p, torch.Tensor)}
    moved = op.apply(x, params, spec)
    assert all(torch.equal(x[n], s) for n, s in copies[0].items())
    assert all(torch.equal(params[n], p) for n, p in copies[1].items())
    assert any(not torch.equal(moved[n], x[n]) for n in x)


# Strength


@every
def test_magnitude_0_is_the_identity(bench, strategy):
    for length in LENGTHS:
        windows = everything(bench, length=length)
        batch = bench.augment(strategy.at(0), windows)
        clean = windows.gather(torch.arange(len(windows)))
        for name, x in batch.x.items():
            assert bitwise(x.view(torch.int32), clean[name].view(torch.int32))  # bit for bit, signs of zero too
        hard = batch.targets["activity"].argmax(1) if batch.targets["activity"].dim() > 1 else batch.targets["activity"]
        assert torch.equal(hard, windows.labels)


@every
def test_magnitude_1_changes_something_and_stays_finite(bench, strategy):
    windows = everything(bench)
    batch = bench.augment(strategy.at(1), windows)
    clean = windows.gather(torch.arange(len(windows)))
    assert any(not torch.equal(x, clean[name]) for name, x in batch.x.items())
    assert all(bool(x.isfinite().all()) for x in batch.x.values())


@pytest.mark.parametrize("name", OPS)
def test_strength_names_a_field(name):
    op = OPS[name]()
    field, strongest = op.STRENGTH
    assert field in {f.name for f in fields(op)}
    assert getattr(op.at(0), field) == 0
    assert getattr(op.at(1), field) == strongest <= op.MOST
    assert getattr(op.at(0.5), field) == strongest / 2
    assert op.at(0.5) == replace(op, **{field: strongest / 2})


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("magnitude", [-0.1, 1.1, float("nan")])
def test_a_magnitude_outside_0_to_1_is_refused(name, magnitude):
    with pytest.raises(UsageError, match=r"a magnitude goes from 0 to 1, got (-0\.1|1\.1|nan)"):
        OPS[name]().at(magnitude)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_strength_that_means_nothing_is_refused(name, value):
    kind = OPS[name]
    with pytest.raises(UsageError, match=f"{kind.__name__}: {kind.STRENGTH[0]} is a finite number from 0 .*; got {value}"):
        kind(**{kind.STRENGTH[0]: value})


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_that_is_no_share_is_refused(name, p):
    with pytest.raises(UsageError, match="p is a share of windows, from 0 to 1; got"):
        OPS[name](p=p)


# Randomness


@every
@pytest.mark.parametrize("size", [1, 13, 40])
def test_the_batch_changes_nothing(bench, strategy, size):
    """Any batch size, any order, any mixture of draws: to the bit."""
    windows = bench.windows((bench.acc, bench.ankle, bench.body), 65, n=60)
    augmenter = Augmenter(strategy, windows)
    index, draw = torch.arange(60), torch.arange(60) % 7
    whole = augmenter(index, draw)
    order = torch.argsort(bits(torch.tensor(1), 60))
    parts = [augmenter(i, draw[i]) for i in order.split(size)]
    for name, x in whole.x.items():
        assert bitwise(torch.cat([part.x[name] for part in parts]), x[order])
    for name, y in whole.targets.items():
        assert bitwise(torch.cat([part.targets[name] for part in parts]), y[order])


@every
def test_a_batch_of_a_thousand_equals_single_windows(bench, strategy):
    windows = bench.windows((bench.acc, bench.body), 64, n=1200)
    augmenter = Augmenter(strategy, windows)
    index = torch.arange(1200)
    whole = augmenter(index, index).x
    for i in (0, 1, 511, 1199):
        one = augmenter(index[i : i + 1], index[i : i + 1]).x
        assert all(bitwise(x[0], whole[name][i]) for name, x in one.items())


@every
def test_draws_differ_and_repeat(bench, strategy):
    windows = everything(bench)
    assert same(bench.augment(strategy, windows, draw=3), bench.augment(strategy, windows, draw=3))
    assert not same(bench.augment(strategy, windows, draw=3), bench.augment(strategy, windows, draw=4))


@every
def test_seeds_differ_and_repeat(bench, strategy):
    windows = everything(bench)
    assert same(bench.augment(strategy, windows, seed=3), bench.augment(strategy, windows, seed=3))
    assert not same(bench.augment(strategy, windows, seed=3), bench.augment(strategy, windows, seed=4))


@every
def test_a_subset_of_the_windows_is_augmented_alike(bench, strategy):
    """Keys are content ids: positions, folds and subsets do not matter (but for the pool of a mixing op)."""
    windows = everything(bench)
    spec, keep = Spec.of(windows), torch.tensor([17, 3, 4, 11])
    if Augmenter(strategy, windows).mixes:
        strategy = Compose(tuple(op for op in strategy.ops if not op.MIXES))
    few = bench.augment(strategy, windows.subset(keep), spec=spec)
    assert all(bitwise(x[keep], few.x[name]) for name, x in bench.augment(strategy, windows, spec=spec).x.items())


def test_the_key_holds_the_whole_strategy(bench):
    """As documented: key = (seed, strategy hash, op position, window id, draw). Another op at the end is another strategy."""
    windows = everything(bench)
    one, two = (bench.augment(text, windows).x["wrist_acc"] for text in ("jitter(0.05)", "jitter(0.05)+scaling(0)"))
    assert not torch.equal(one, two)
    assert Augmenter(parse("jitter(0.05)"), windows).hash != Augmenter(parse("jitter(0.06)"), windows).hash


def test_a_raised_version_changes_the_draws(bench, monkeypatch):
    windows = everything(bench)
    before = bench.augment("jitter(0.05)+rotate(15)", windows)
    monkeypatch.setattr(OPS["rotate"], "VERSION", OPS["rotate"].VERSION + 1)
    assert not same(before, bench.augment("jitter(0.05)+rotate(15)", windows))


@every_op
def test_declared_slots_are_enough_and_all_used(bench, op):
    spec = Spec.of(bench.windows((bench.acc, bench.gyro, bench.ankle, bench.body)))
    slots = op.slots(spec)
    words = bits(torch.arange(5), slots)
    op.sample(Draws(words), spec)
    with pytest.raises(UsageError, match=f"declared {slots - 1} slots"):
        op.sample(Draws(words[:, 1:]), spec)


# Targets and gradients


@every
def test_class_targets_keep_the_label_or_sum_to_one(bench, strategy):
    windows = everything(bench)
    labels = bench.augment(strategy, windows).targets["activity"]
    if Augmenter(strategy, windows).mixes:
        assert labels.shape == (len(windows), 3)
        torch.testing.assert_close(labels.sum(1), torch.ones(len(windows)))
        assert bool((labels >= 0).all())
    else:
        assert torch.equal(labels, windows.labels)


@every
def test_windows_without_targets_can_be_augmented(bench, strategy):
    windows = everything(bench, labelled=False)
    batch = bench.augment(strategy, windows)
    assert batch.targets == {}
    labelled = bench.augment(strategy, everything(bench))
    if "other_subject" not in to_text(strategy):
        assert all(torch.equal(batch.x[name], x) for name, x in labelled.x.items())


@every
def test_dense_labels_stay_labels(bench, strategy):
    def phase(total):
        return torch.where(torch.arange(total) % 10 == 0, IGNORE, torch.arange(total) // 7 % 3).numpy()

    windows = everything(bench, dense=phase)
    if Augmenter(strategy, everything(bench)).mixes:
        with pytest.raises(UsageError, match=r"mixes windows, but target 'phase' has a label per sample"):
            Augmenter(strategy, windows)
        return
    labels = bench.augment(strategy, windows).targets["phase"]
    assert labels.shape == (len(windows), 64)
    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {IGNORE, 0, 1, 2}


@every_op
def test_gradients_flow_through(bench, op):
    windows = bench.windows((bench.acc, bench.body), 16, n=12)
    spec = Spec.of(windows)
    params = bench.draw(op, spec, 2)
    x = {name: signal.double() for name, signal in windows.gather(torch.arange(2)).items()}
    if op.MIXES:
        params["other"] = {name: torch.randn_like(signal) for name, signal in x.items()}
    for name, signal in x.items():
        given = signal.requires_grad_()
        assert torch.autograd.gradcheck(lambda s, name=name: op.apply({**x, name: s}, params, spec)[name], (given,))


@pytest.mark.parametrize("name", OPS)
def test_the_text_of_an_op_is_that_op(name):
    op = OPS[name]()
    text = to_text(Compose((op,)))
    assert name in text
    assert parse(text).ops == (op,)


def test_ops_are_frozen_and_described():
    for kind in OPS.values():
        assert issubclass(kind, Transform)
        assert kind.__doc__
        with pytest.raises(AttributeError):
            kind().p = 0.5


# Devices


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every
def test_cpu_and_cuda_agree(bench, strategy):
    def smooth(sensor, total, label):
        time = torch.arange(total) / sensor.rate
        return torch.stack([torch.sin(2 * torch.pi * (0.5 + c + label) * time + c) for c in range(len(sensor.channels))]).numpy()

    here = everything(bench, fill=smooth)
    there = here.to("cuda")
    index = torch.arange(len(here))
    cpu, cuda = Augmenter(strategy, here), Augmenter(strategy, there)
    assert torch.equal(cpu.draw_words(here.ids, index), cuda.draw_words(there.ids, index.cuda()).cpu())
    a, b = cpu(index, index), cuda(index.cuda(), index.cuda())
    for name, x in a.x.items():
        torch.testing.assert_close(b.x[name].cpu(), x, rtol=0, atol=1e-5)
    for name, y in a.targets.items():
        torch.testing.assert_close(b.targets[name].cpu(), y, rtol=0, atol=1e-6)
