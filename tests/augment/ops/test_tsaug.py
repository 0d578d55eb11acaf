"""tsaug: the bridge to the package, its texts and what it promises window by window."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from harkd.augment import Augmenter, Compose, Spec, check_invariances, keys, parse, to_text
from harkd.augment.tsaug_bridge import AUGMENTERS, TsaugBridge, load_tsaug
from harkd.datasets import IGNORE, read_card
from harkd.errors import UsageError

tsaug = load_tsaug()
QUICKSTART = (
    "TimeWarp() * 5 + Crop(size=300) + Quantize(n_levels=[10, 20, 30]) + Drift(max_drift=(0.1, 0.5)) @ 0.8 + Reverse() @ 0.5"
)


def ramp(sensor, total, label):
    """From 0 to 1 in every window of 64 samples at 50 Hz (32 at 25 Hz)."""
    time = 64 if sensor.rate == 50 else 32
    return np.tile(np.arange(total) % time / (time - 1), (3, 1))


# Text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Drift(max_drift=0.2) @ 0.5 + Quantize(n_levels=10) * 2", "Drift(max_drift=0.2) @ 0.5 + Quantize() * 2"),
        ("TimeWarp(3, 2.0)@.5@.5*2 * 2", "TimeWarp(max_speed_ratio=2.0) * 4 @ 0.25"),
        ("Drift(prob=0.5, repeats=3)", "Drift() * 3 @ 0.5"),
        ("(Pool(size=[2, 4]) + (Reverse()))", "Pool(size=[2, 4]) + Reverse()"),
        ('Convolve(window=("kaiser", 4.0), size=(3, 9))', "Convolve(window=('kaiser', 4.0), size=(3, 9))"),
        ("Dropout(fill=-1.5, per_channel=True)", "Dropout(fill=-1.5, per_channel=True)"),
        (QUICKSTART, QUICKSTART),
    ],
)
def test_canonical_text(text, canonical):
    op = TsaugBridge(text)
    assert op.pipeline == canonical
    assert TsaugBridge(canonical) == op
    strategy = parse(to_text(Compose((op,))))
    assert strategy.ops == (op,)
    assert to_text(strategy) == f'tsaug("{canonical}")'


def test_a_live_pipeline_and_its_text_are_the_same_op():
    live = (
        tsaug.TimeWarp() * 5
        + tsaug.Crop(size=300)
        + tsaug.Quantize(n_levels=[10, 20, 30])
        + tsaug.Drift(max_drift=(0.1, np.float64(0.5))) @ 0.8
        + tsaug.Reverse() @ 0.5
    )
    assert TsaugBridge.of(live) == TsaugBridge(QUICKSTART)
    assert TsaugBridge.of(tsaug.AddNoise(scale=0.3, distr="laplace", kind="multiplicative"), p=0.5) == TsaugBridge(
        "AddNoise(scale=0.3, distr='laplace', kind='multiplicative')", p=0.5
    )
    assert TsaugBridge.of(tsaug.TimeWarp(max_speed_ratio=2.0)).pipeline == "TimeWarp(max_speed_ratio=2.0)"


def test_its_ten_classes_are_all_of_tsaug():
    assert set(AUGMENTERS) == {name for name, kind in vars(tsaug).items() if isinstance(kind, type)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no expression"),
        ("Drift(", "is no expression"),
        ("Drift", "expected an augmenter like"),
        ("Drift() - Pool()", "expected an augmenter like"),
        ("2 * Drift()", "expected an augmenter like"),
        ("__import__('os').system('true')", "expected an augmenter like"),
        ("[Drift() for _ in 'a'][0]", "expected an augmenter like"),
        ("eval('1')", "unknown augmenter of tsaug 'eval'"),
        ("Drft()", "unknown augmenter of tsaug 'Drft': did you mean 'Drift'?"),
        ("Drift(max_drift=open('x'))", "at \"open('x')\": expected a number, a word in quotes"),
        ("Drift(**{'max_drift': 1})", "'**' is not understood"),
        ("Drift(*[1])", "expected a number, a word in quotes"),
        ("Drift() * 0", "after '*' stands how often it repeats"),
        ("Drift() * True", "after '*' stands how often it repeats"),
        ("Drift() @ 1.5", "after '@' stands a probability"),
        ("(Drift() + Pool()) * 2", "'*' and '@' stand after a single augmenter"),
        ("Drift(max_drift=-1)", "`max_drift` must be a non-negative number"),
        ("Drift(depth=1)", "unexpected keyword argument 'depth'"),
        ("Crop()", "missing 1 required positional argument: 'size'"),
        ("Drift(seed=1)", "Drift has the seed 1; windows are augmented by their own keys"),
        ("Drift(1e999)", "max_drift is inf, which has no literal form"),
        ("Quantize(how='kmeans')", "take harkd's own op quantize"),
        ("(" * 150 + "Drift()" + ")" * 150 + " * 0", "tsaug pipeline"),
        ("Drift()" + " + Drift()" * 20_000, "is no expression"),
    ],
)
def test_what_is_not_understood_is_refused_and_nothing_is_run(text, reason):
    with pytest.raises(UsageError) as refused:
        TsaugBridge(text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (tsaug.Drift(seed=3), "has the seed 3"),
        (tsaug.Reverse() + tsaug.Dropout(fill=float("nan")), "Dropout: fill is nan, which has no literal form"),
        (type("Mine", (tsaug.Drift,), {})(), "Mine is none of tsaug's augmenters"),
        ("Drift()", "str is none of tsaug's augmenters"),
    ],
)
def test_a_live_object_that_has_no_text_is_refused(live, reason):
    with pytest.raises(UsageError, match=reason):
        TsaugBridge.of(live)


# Windows


def test_it_does_what_tsaug_does_with_the_window_s_own_seeds(bench):
    windows = bench.windows((bench.acc, bench.gyro), 64, n=12)
    op, spec = TsaugBridge("TimeWarp() + Drift(max_drift=0.2) + AddNoise(scale=0.05) * 3"), Spec.of(windows)
    x, params = windows.gather(torch.arange(12)), bench.draw(op, spec, 12)
    moved = op.apply(x, params, spec)
    for i, word in enumerate(params["word"].tolist()):
        series = torch.cat([x["wrist_acc"][i], x["wrist_gyro"][i]]).double().T[None].numpy()
        for step, augmenter in enumerate((tsaug.TimeWarp(), tsaug.Drift(max_drift=0.2), tsaug.AddNoise(scale=0.05))):
            repetition = keys.stream(word, step) % (3 if step == 2 else 1)
            augmenter.seed = keys.stream(word, step, *([] if step == 0 else [64]), repetition) % 2**32
            series = augmenter.augment(series)
        both = torch.cat([moved["wrist_acc"][i], moved["wrist_gyro"][i]])
        torch.testing.assert_close(both, torch.from_numpy(series[0].T).float(), rtol=0, atol=1e-5)


def test_an_augmenter_is_applied_with_its_probability_and_to_all_sensors_at_once(bench):
    windows = bench.windows((bench.acc, bench.ankle), 64, n=600, fill=ramp)
    moved = bench.augment(TsaugBridge("Reverse() @ 0.3"), windows).x
    backward = moved["wrist_acc"][:, 0, 0] > 0.5
    assert torch.equal(backward, moved["ankle_acc"][:, 2, 0] > 0.5)
    assert abs(float(backward.float().mean()) - 0.3) < 4.5 * (0.21 / len(windows)) ** 0.5


def test_sensors_of_all_rates_share_a_time_warp_and_not_their_noise(bench):
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), 64, n=24, fill=ramp)
    moved = bench.augment(TsaugBridge("TimeWarp()"), windows).x
    assert torch.equal(moved["wrist_acc"], moved["wrist_gyro"])
    for fast, slow in zip(moved["wrist_acc"][:, 0], moved["ankle_acc"][:, 0], strict=True):
        np.testing.assert_allclose(np.interp(np.linspace(0, 1, 32), np.linspace(0, 1, 64), fast), slow, atol=5e-3)
    windows = bench.windows((bench.acc, bench.gyro, bench.ankle), 64, n=240)
    noisy, clean = bench.augment(TsaugBridge("AddNoise(normalize=False)"), windows).x, windows.gather(torch.arange(240))
    rows = torch.stack([(noisy[name] - clean[name])[:, 0, :32].flatten() for name in clean])
    assert np.abs(np.corrcoef(rows) - np.eye(3)).max() < 4.5 / rows.shape[1] ** 0.5


@pytest.mark.parametrize(
    ("text", "rise"),
    [
        ("Crop(size=20)", 19 / 63),
        ("Resize(size=1)", 0.0),
        ("Resize(size=7)", 1.0),
        ("Resize(size=200)", 1.0),
        ("Crop(size=[10, 30], resize=48)", None),
    ],
)
def test_what_changes_the_length_is_stretched_back(bench, text, rise):
    windows = bench.windows((bench.acc, bench.gyro), 64, n=24, fill=ramp)
    x = bench.augment(TsaugBridge(text), windows).x["wrist_acc"]
    assert x.shape == (24, 3, 64)
    slopes = x.diff(dim=2)
    torch.testing.assert_close(slopes, slopes[..., :1].expand_as(slopes), rtol=0, atol=1e-6)  # a part of a ramp is a ramp
    got = x[..., -1] - x[..., 0]
    if rise is None:
        assert {round(float(r) * 63) for r in got.flatten()} == {9, 29}
    else:
        torch.testing.assert_close(got, torch.full((24, 3), rise), rtol=0, atol=1e-5)


@pytest.mark.parametrize("pipeline", ["TimeWarp(max_speed_ratio=4.0)", "Reverse()", "Crop(size=40)", "Drift() + Reverse() @ 0.5"])
def test_labels_of_samples_move_along(bench, pipeline):
    """The signal is the label: 0, 1 and 2 in turn, eight samples each, unknown in the middle."""

    def steps(total):
        at = np.arange(total) % 64
        return np.where((at >= 30) & (at < 34), IGNORE, at // 8 % 3)

    windows = bench.windows((bench.acc,), 64, n=60, fill=lambda s, total, label: np.tile(steps(total), (3, 1)), dense=steps)
    batch = bench.augment(TsaugBridge(pipeline), windows)
    labels = batch.targets["phase"]
    assert labels.dtype == torch.int64
    assert not torch.equal(labels, windows.target("phase").values)
    if "Drift" in pipeline:
        assert {*labels.unique().tolist()} == {IGNORE, 0, 1, 2}
        return
    x = batch.x["wrist_acc"][:, 0]
    whole = (x - x.round()).abs() < 1e-3
    assert float(whole.float().mean()) > 0.5
    assert float((labels == x.round())[whole].float().mean()) > 0.97
    assert set(labels[~whole].tolist()) <= {IGNORE, 0, 1, 2}


def test_windows_of_one_sample_stay(bench):
    windows = bench.windows((bench.acc,), 1, n=12, dense=lambda total: np.zeros(total, dtype=np.int64))
    batch = bench.augment(TsaugBridge(), windows)
    assert torch.equal(batch.x["wrist_acc"], windows.gather(torch.arange(12))["wrist_acc"])
    assert torch.equal(batch.targets["phase"], windows.target("phase").values)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Crop(size=65) @ 0.01", r"tsaug cannot do Crop\(size=65\) to windows of 64 samples: .*; change the sizes in it"),
        ("Convolve(size=2)", r"tsaug makes Convolve\(size=2\) of windows of 64 samples not finite"),
    ],
)
def test_what_tsaug_cannot_do_is_refused_before_training(bench, text, reason):
    with pytest.raises(UsageError, match=reason):
        Augmenter(TsaugBridge(text), bench.windows())


# The rest


def test_it_assumes_what_its_augmenters_do():
    assert TsaugBridge("Drift() + AddNoise()").assumes == set()
    assert TsaugBridge("Drift() + TimeWarp() @ 0.1 + Reverse()").assumes == {"pace", "reversal"}
    card = replace(read_card("seglearn_watch"), invariances={"pace": True})
    check_invariances(Compose((TsaugBridge("TimeWarp()"),)), card)
    with pytest.raises(UsageError, match="assumes that reversal does not change the class"):
        check_invariances(Compose((TsaugBridge("Reverse()"),)), card)


def test_importing_it_says_nothing_and_tsaug_is_loaded_late():
    """With all warnings as errors, and without pytest's filters."""
    code = (
        "import sys, harkd.augment.tsaug_bridge as bridge\n"
        "assert 'tsaug' not in sys.modules\n"
        "print(bridge.TsaugBridge('Drift()').pipeline)"
    )
    done = subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("Drift()\n", "", 0)
