"""What every augmentation promises, checked for all of OPS and NODES and for what is built of them."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import harkd.augment
from harkd.augment import NODES, OPS, Augmenter, Branching, Compose, Draws, Mixing, Spec, Transform, parse, to_text
from harkd.augment.keys import bits
from harkd.datasets import IGNORE, Sensor
from harkd.datasets.synthetic.head import CHANNELS
from harkd.errors import UsageError

LENGTHS = [1, 2, 3, 7, 64, 128, 513]
MORE = [
    "jitter(0.3, exact=true)",
    "noise_injection(0.2, exact=true)",
    "scaling(0.3, share=sensor)",
    "removal(1, fill=hold)",
    "removal(1, fill=zero)",
    "rotate(180)",
    "rotate(180, about=gravity)",
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
    "ft_surrogate(1, share=channel)",
    "band_stop(5)",
    "band_pass(0.25, low=4)",
    "spec_augment(0.3, fill=mean)",
    "spec_augment(0.3, n_fft=24, hop=8)",
    "wavelet_noise(0.5, levels=5, wavelet=db2)",
    "none|amplitude_mix(0.5, labels=mixed)",
    "add_noise(0.3, distr=laplace, loc=1)",
    "add_noise(0.3, distr=uniform, kind=multiplicative)",
    "add_noise(0.2, per_channel=false, normalize=false)",
    "convolve(6, window=blackman)",
    "drift(0.5, points=9, kind=multiplicative)",
    "dropout(0.3, size=4, fill=bfill)",
    "dropout(0.3, size=3, fill=mean, per_channel=true)",
    "dropout(0.3, size=3, compat=true)",
    "pool(7, kind=min)",
    "quantize(10, how=quantile)",
    "quantize(9, how=kmeans)",
    "quantize(9, how=quantile, compat=true)",
    "speed_warp(8, changes=9)",
    "packet_loss(0.3, fill=linear)",
    "jeon_mix1+trivial(jitter(0.3)+rotate(15)+time_warp(0.3), p=0.5)|mixup(0.2)+cutmix()",
    "grow(rand_augment(jitter(0.3)+rotate(15)+shifting(0.5)), over=0.1)+one_of(reverse(), aug_mix(scaling(0.1)+jitter(0.1)))",
]
WINDOWED = {"tsaug"}
"""Ops that go through windows on the host one by one; everything else may not."""


def alone(name: str) -> Compose:
    return Compose((OPS[name](),))


def around(name: str) -> Compose:
    """A choice, a policy or a wrapper, with something to choose from and at its full strength."""
    pool = "jitter(0.3)+scaling(0.3)+rotate(15)+time_warp(0.3)+shifting(0.5)"
    return parse({"one_of": "one_of(jitter(0.3), rotate(15)+scaling(0.3))"}.get(name, f"{name}({pool})"))


ALL = {
    **{name: alone(name) for name in OPS},
    **{name: around(name) for name in NODES},
    **{text: parse(text) for text in MORE},
}
LEAVES = {name: t for name, t in ALL.items() if len(t.ops) == 1 and not isinstance(t.ops[0], Branching)}
WAITING = {"grow", "grow_with_loss", "grow_with_confidence"}
"""What changes nothing at the first visit."""

every = pytest.mark.parametrize("strategy", ALL.values(), ids=ALL)
ACTIVE = {name: strategy for name, strategy in ALL.items() if name not in WAITING}
every_active = pytest.mark.parametrize("strategy", ACTIVE.values(), ids=ACTIVE)
every_op = pytest.mark.parametrize("op", [t.ops[0] for t in LEAVES.values()], ids=LEAVES)


def bitwise(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


def same(a, b) -> bool:
    """Whether two batches agree to the bit."""
    return all(bitwise(a.x[n], b.x[n]) for n in a.x) and all(bitwise(a.targets[n], b.targets[n]) for n in a.targets)


def run(op, x, draws, spec, others=()):
    """An op on a batch, mixing or not."""
    params = op.sample(draws, spec)
    return op.mix(x, others, params, spec)[0] if isinstance(op, Mixing) else op.apply(x, params, spec)


# The enumeration


def test_whatever_is_a_transform_is_enumerated():
    """What is not in OPS or NODES does not exist for the grammar, the command line and these tests."""
    kinds = set()
    for module in pkgutil.iter_modules(harkd.augment.__path__):
        members = vars(importlib.import_module(f"harkd.augment.{module.name}")).values()
        kinds |= {m for m in members if isinstance(m, type) and issubclass(m, Transform)}
    named = {*OPS.values(), *NODES.values(), Compose}
    bases = {base for kind in named for base in kind.__mro__[1:]}
    assert kinds - bases == named - bases


def test_every_op_has_a_file_of_tests():
    here = Path(__file__).parent
    assert {path.stem for path in (here / "ops").glob("test_*.py")} == {f"test_{name}" for name in OPS}
    assert {path.stem for path in (here / "policies").glob("test_*.py")} == {f"test_{name}" for name in NODES}


def test_ops_are_frozen_and_described():
    for kind in (*OPS.values(), *NODES.values()):
        assert kind.__doc__
        assert kind.__doc__.splitlines()[0].endswith(".") or kind.__doc__.splitlines()[1]
    with pytest.raises(AttributeError):
        OPS["jitter"]().p = 0.5


def test_ops_that_go_through_windows_one_by_one_are_named():
    assert {name for name, kind in OPS.items() if kind.HOST} == WINDOWED


# Shape, type, purity


@every
@pytest.mark.parametrize("length", LENGTHS)
def test_shape_and_dtype_are_kept(bench, strategy, length):
    windows = bench.everything(length, n=12)
    batch = bench.augment(strategy, windows)
    clean = windows.gather(torch.arange(len(windows)))
    assert list(batch.x) == list(clean)
    for name, x in batch.x.items():
        assert (x.shape, x.dtype, x.device) == (clean[name].shape, torch.float32, clean[name].device)
        assert bool(x.isfinite().all())


@pytest.fixture(scope="module")
def caps(bench):
    """Windows of sensors with 1 to 40 channels, or as many triples, and their specs."""
    made = []
    for n in (*range(1, 10), 16, 17, 32, 33, 40):
        axes = tuple(f"{i}_{axis}" for i in range(n) for axis in "xyz")
        cap = Sensor("cap", "eeg", "uV", 50.0, channels=CHANNELS[:n])
        arm = Sensor("arm", "acc", "g", 50.0, channels=axes, segment="arm")
        turn = Sensor("turn", "gyro", "rad/s", 50.0, channels=axes, segment="leg")
        body = Sensor("body", "skeleton", "m", 50.0, channels=axes)
        windows = bench.windows((cap, arm, turn, body) if n in (1, 6, 16) else (cap, arm), 32, n=12)
        made.append((windows, bench.spec(windows)))
    return made


@every
def test_any_number_of_channels(bench, caps, strategy):
    worked = 0
    for windows, spec in caps:
        try:
            augmenter = Augmenter(strategy, windows, spec)
        except UsageError:
            continue  # it says what is missing: other kinds, names of joints, a left and a right
        index = torch.arange(12)
        for name, x in augmenter(index, index).x.items():
            assert x.shape == (12, len(spec.sensors[name].channels), 32)
            assert bool(x.isfinite().all())
        worked += 1
    named = {"bone_length_scale", "mirror_body", "position_swap", "axis_mirror", "band_rotation"}
    assert worked or any(name in to_text(strategy) for name in named)


@every
def test_double_precision_is_kept_and_agrees(bench, strategy):
    windows = bench.everything()
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
        windows = bench.everything(length, n=12, fill=lambda s, total, label: torch.full((len(s.channels), total), level).numpy())
        for name, x in bench.augment(strategy, windows).x.items():
            assert bool(x.isfinite().all()), name


@every
def test_signals_are_never_written_to(bench, strategy):
    windows = bench.everything()
    before = {name: signal.clone() for name, signal in windows.signals.items()}
    labels = windows.labels.clone()
    augmenter = Augmenter(strategy, windows, bench.spec(windows))
    index = torch.arange(len(windows))
    first = augmenter(index, index)
    assert same(first, augmenter(index, index))
    assert all(torch.equal(windows.signals[name], before[name]) for name in before)
    assert torch.equal(windows.labels, labels)


@every_op
def test_apply_leaves_its_input_and_its_parameters_alone(bench, op):
    windows = bench.everything()
    spec, index = bench.spec(windows), torch.arange(len(windows))
    x, params = windows.gather(index), bench.draw(op, spec, len(windows))
    others = [windows.gather(index.roll(k + 1)) for k in range(len(op.partners))] if op.MIXES else []
    given = [x, params, *others]
    copies = [{n: t.clone() for n, t in held.items() if isinstance(t, torch.Tensor)} for held in given]
    moved = op.mix(x, others, params, spec)[0] if op.MIXES else op.apply(x, params, spec)
    for held, copy in zip(given, copies, strict=True):
        assert all(torch.equal(held[n], t) for n, t in copy.items())
    assert any(not torch.equal(moved[n], x[n]) for n in x)


# Strength


@every
def test_magnitude_0_is_the_identity(bench, strategy):
    for length in LENGTHS:
        windows = bench.everything(length, n=12)
        batch = bench.augment(strategy.at(0), windows)
        clean = windows.gather(torch.arange(len(windows)))
        for name, x in batch.x.items():
            assert bitwise(x.view(torch.int32), clean[name].view(torch.int32))  # bit for bit, signs of zero too
        hard = batch.targets["activity"].argmax(1) if batch.targets["activity"].dim() > 1 else batch.targets["activity"]
        assert torch.equal(hard, windows.labels)


@every_op
def test_the_op_itself_does_nothing_at_magnitude_0(bench, op):
    """Apart from the executor, which does not even call it."""
    if op.STRENGTH.field == "p":
        assert op.at(0).p == 0
        return
    for length in (1, 7, 64):
        windows = bench.everything(length, n=12)
        spec, index = bench.spec(windows), torch.arange(len(windows))
        x, idle = windows.gather(index), op.at(0)
        others = [windows.gather(index.roll(k + 1)) for k in range(len(op.partners))] if op.MIXES else []
        moved = run(idle, x, Draws(bits(index, op.slots(spec))), spec, others)
        for name, signal in moved.items():
            scale = float(x[name].abs().max())
            torch.testing.assert_close(signal, x[name], rtol=1e-5, atol=2e-5 * scale)


@every_op
def test_windows_of_a_batch_may_have_different_magnitudes(bench, op):
    """As policies ask for: a window at a magnitude is what the op at that share of its strength makes of it."""
    if op.STRENGTH.field == "p" or op.MIXES:
        return
    windows = bench.everything(n=12)
    spec, index = bench.spec(windows), torch.arange(12)
    x, magnitude = windows.gather(index), torch.tensor([0.0, 0.25, 0.5, 1.0] * 3)[:, None]
    words = bits(index, op.slots(spec))
    together = run(op, x, Draws(words, magnitude), spec)
    for i in range(12):
        weaker = op.scaled(float(magnitude[i]))
        one = run(weaker, {n: s[i : i + 1] for n, s in x.items()}, Draws(words[i : i + 1]), spec)
        for name, signal in one.items():
            scale = float(x[name].abs().max())
            torch.testing.assert_close(together[name][i], signal[0], rtol=1e-4, atol=2e-5 * scale)


@every
def test_magnitude_1_changes_something_and_stays_finite(bench, strategy):
    windows = bench.everything(128, n=60)
    index = torch.arange(len(windows))
    augmenter = Augmenter(strategy.at(1), windows, bench.spec(windows))
    batch = augmenter(index, index + 10)
    clean = windows.gather(index)
    if not augmenter.learns:
        assert any(not torch.equal(x, clean[name]) for name, x in batch.x.items())
    assert all(bool(x.isfinite().all()) for x in batch.x.values())


@pytest.mark.parametrize("name", OPS)
def test_strength_names_a_field(name):
    op = OPS[name]()
    strength = op.STRENGTH
    assert strength.field in {f.name for f in fields(op)}
    assert getattr(op.at(0), strength.field) == strength.identity
    assert op.at(0).idle
    assert getattr(op.at(1), strength.field) == strength.strongest
    assert strength.least <= strength.strongest <= strength.most
    assert op.at(0.5) == replace(op, **{strength.field: strength.between(0.5, strength.strongest)})
    assert op.scaled(1) == op


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("magnitude", [-0.1, 1.1, float("nan")])
def test_a_magnitude_outside_0_to_1_is_refused(name, magnitude):
    for weaken in (OPS[name]().at, OPS[name]().scaled):
        with pytest.raises(UsageError, match=r"a magnitude goes from 0 to 1, got (-0\.1|1\.1|nan)"):
            weaken(magnitude)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_strength_that_means_nothing_is_refused(name, value):
    kind, field = OPS[name], OPS[name].STRENGTH.field
    says = "p is a share" if field == "p" else f"{kind.__name__}: {field} is a finite number from .*; got {value}"
    with pytest.raises(UsageError, match=says):
        kind(**{field: value})


@pytest.mark.parametrize("name", [*OPS, *NODES])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_p_that_is_no_share_is_refused(name, p):
    with pytest.raises(UsageError, match="p is a share of windows, from 0 to 1; got"):
        replace(ALL[name].ops[0], p=p)


# Randomness


@every
@pytest.mark.parametrize("size", [1, 13])
def test_the_batch_changes_nothing(bench, strategy, size):
    """Any batch size, any order, any mixture of draws: to the bit."""
    windows = bench.everything(65, n=36)
    augmenter = Augmenter(strategy, windows, bench.spec(windows))
    index, draw = torch.arange(36), torch.arange(36) % 7
    whole = augmenter(index, draw)
    order = torch.argsort(bits(torch.tensor(1), 36))
    parts = [augmenter(i, draw[i]) for i in order.split(size)]
    for name, x in whole.x.items():
        assert bitwise(torch.cat([part.x[name] for part in parts]), x[order])
    for name, y in whole.targets.items():
        assert bitwise(torch.cat([part.targets[name] for part in parts]), y[order])


@every
def test_a_batch_of_a_thousand_equals_single_windows(thousand, strategy):
    windows, spec = thousand
    augmenter = Augmenter(strategy, windows, spec)
    index = torch.arange(120 if any(op.HOST for op in augmenter.strategy.ops) else 1200)
    whole = augmenter(index, index).x
    for i in (0, 1, len(index) // 2, len(index) - 1):
        one = augmenter(index[i : i + 1], index[i : i + 1]).x
        assert all(bitwise(x[0], whole[name][i]) for name, x in one.items())


@every_active
def test_draws_and_seeds_repeat_and_differ(bench, strategy):
    windows = bench.everything(n=60)
    spec = bench.spec(windows)
    assert same(bench.augment(strategy, windows, draw=3, seed=3), bench.augment(strategy, windows, draw=3, seed=3))
    if all(op.slots(spec) == 0 and op.p == 1 and not op.MIXES for op in strategy.ops):
        return  # it draws nothing: it is always the same
    assert not same(bench.augment(strategy, windows, draw=3), bench.augment(strategy, windows, draw=4))
    assert not same(bench.augment(strategy, windows, seed=3), bench.augment(strategy, windows, seed=4))


@every
def test_a_subset_of_the_windows_is_augmented_alike(bench, strategy):
    """Keys are content ids: positions, folds and subsets do not matter (but for the pool of a mixing op)."""
    windows = bench.everything()
    spec, keep = bench.spec(windows), torch.tensor([17, 3, 4, 11])
    if Augmenter(strategy, windows, spec).mixes:
        strategy = Compose(tuple(op for op in strategy.ops if not op.MIXES))
    few = bench.augment(strategy, windows.subset(keep), spec=spec)
    assert all(bitwise(x[keep], few.x[name]) for name, x in bench.augment(strategy, windows, spec=spec).x.items())


def test_the_key_holds_the_whole_strategy(bench):
    """As documented: key = (seed, strategy hash, op position, window id, draw). Another op at the end is another strategy."""
    windows = bench.everything()
    one, two = (bench.augment(text, windows).x["wrist_acc"] for text in ("jitter(0.05)", "jitter(0.05)+scaling(0)"))
    assert not torch.equal(one, two)
    assert Augmenter(parse("jitter(0.05)"), windows).hash != Augmenter(parse("jitter(0.06)"), windows).hash


def test_a_raised_version_changes_the_draws(bench, monkeypatch):
    windows = bench.everything()
    for text in ("jitter(0.05)+rotate(15)", "trivial(jitter(0.05)+rotate(15))"):
        before = bench.augment(text, windows)
        with monkeypatch.context() as patch:
            patch.setattr(OPS["rotate"], "VERSION", OPS["rotate"].VERSION + 1)
            assert not same(before, bench.augment(text, windows))


@every_op
def test_declared_slots_are_enough_and_all_used(bench, op):
    spec = bench.spec(bench.everything())
    slots = op.slots(spec)
    words = bits(torch.arange(5), slots)
    op.sample(Draws(words), spec)
    if slots:
        with pytest.raises(UsageError, match=f"declared {slots - 1} slots"):
            op.sample(Draws(words[:, 1:]), spec)


class Count(TorchDispatchMode):
    """How many operations torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


@every
def test_no_loop_goes_over_windows(bench, thousand, strategy):
    """The number of torch's operations does not grow with the batch. Policies: once every branch is met."""
    windows, spec = thousand
    augmenter = Augmenter(strategy, windows, spec)
    if any(op.HOST for op in augmenter.strategy.ops):
        return
    policy = any(isinstance(op, Branching) for op in augmenter.strategy.ops)
    calls = []
    for size in (600, 1200) if policy else (4, 64):
        index = torch.arange(size)
        augmenter(index, index)  # fills the caches
        with Count() as count:
            augmenter(index, index)
        calls.append(count.calls)
    assert calls[0] == calls[1]


# Targets and gradients


@every
def test_class_targets_keep_the_label_or_sum_to_one(bench, strategy):
    windows = bench.everything()
    labels = bench.augment(strategy, windows).targets["activity"]
    if Augmenter(strategy, windows, bench.spec(windows)).softens:
        assert labels.shape == (len(windows), 3)
        torch.testing.assert_close(labels.sum(1), torch.ones(len(windows)))
        assert bool((labels >= 0).all())
    else:
        assert torch.equal(labels, windows.labels)


@every
def test_windows_without_targets_can_be_augmented_or_are_refused(bench, strategy):
    """Ops that look at nobody's class give the same windows."""
    windows, labelled = bench.everything(labelled=False), bench.everything()
    try:
        batch = bench.augment(strategy, windows)
    except Exception as refused:
        assert "class" in str(refused) or "target" in str(refused)  # noqa: PT017
        text = to_text(strategy)
        assert any(word in text for word in ("filter_by_teacher", "classwise")) or any(
            "class" in who for op in strategy.ops if op.MIXES for who in op.partners
        )
        return
    assert batch.targets == {}
    if "other_subject" not in to_text(strategy):
        assert all(torch.equal(batch.x[name], x) for name, x in bench.augment(strategy, labelled).x.items())


@every
def test_dense_labels_stay_labels(bench, strategy):
    def phase(total):
        return torch.where(torch.arange(total) % 10 == 0, IGNORE, torch.arange(total) // 7 % 3).numpy()

    windows = bench.everything(dense=phase)
    spec = bench.spec(windows)
    if any(op.MIXES for op in strategy.ops):
        with pytest.raises(UsageError, match=r"mixes windows, but target 'phase' has a label per sample"):
            Augmenter(strategy, windows, spec)
        return
    if "aug_mix" in to_text(strategy) and "time_warp" in to_text(strategy):
        with pytest.raises(UsageError, match="labels of single samples have no meaning then"):
            bench.augment(strategy, windows)
        return
    labels = bench.augment(strategy, windows).targets["phase"]
    assert labels.shape == (len(windows), 64)
    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {IGNORE, 0, 1, 2}


DIFFERENTIABLE = ["jitter", "scaling", "noise_injection", "rotate", "magnitude_warp", "time_warp", "removal", "cropping", "mixup"]
DIFFERENTIABLE += ["add_noise", "convolve", "drift", "ft_surrogate", "frequency_shift", "smooth_time_mask", "subject_mix"]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_flow_through(bench, name):
    windows, op = bench.everything(8, n=12), OPS[name]()
    spec = bench.spec(windows)
    x = {name: signal.double() for name, signal in windows.gather(torch.arange(2)).items()}
    others = [{name: signal.flip(0) for name, signal in x.items()}] * (len(op.partners) if op.MIXES else 0)
    params = bench.draw(op, spec, 2)
    for sensor in ("wrist_acc", "cap"):
        given = x[sensor].requires_grad_()

        def moved(signal, sensor=sensor):
            signals = {**x, sensor: signal}
            return (op.mix(signals, others, params, spec)[0] if op.MIXES else op.apply(signals, params, spec))[sensor]

        assert torch.autograd.gradcheck(moved, (given,))


# Text


@every
def test_texts_go_round(strategy):
    assert parse(to_text(strategy)) == strategy


@pytest.mark.parametrize("name", [*OPS, *NODES])
def test_the_text_of_an_op_has_its_name(name):
    assert to_text(ALL[name]).removeprefix("none|").startswith(f"{name}(")


# Devices


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every
def test_cpu_and_cuda_agree(bench, strategy):
    def smooth(sensor, total, label):
        time = torch.arange(total) / sensor.rate
        return torch.stack([torch.sin(2 * torch.pi * (0.5 + c + label) * time + c) for c in range(len(sensor.channels))]).numpy()

    here = bench.everything(fill=smooth)
    there = here.to("cuda")
    index = torch.arange(len(here))
    cpu, cuda = Augmenter(strategy, here, bench.spec(here)), Augmenter(strategy, there, bench.spec(there))
    assert torch.equal(cpu.draw_words(here.ids, index), cuda.draw_words(there.ids, index.cuda()).cpu())
    a, b = cpu(index, index), cuda(index.cuda(), index.cuda())
    for name, x in a.x.items():
        torch.testing.assert_close(b.x[name].cpu(), x, rtol=0, atol=1e-5)
    for name, y in a.targets.items():
        torch.testing.assert_close(b.targets[name].cpu(), y, rtol=0, atol=1e-6)
