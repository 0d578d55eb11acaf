"""All ten operators of tsaug 0.2.1: fed with the numbers that harkd's ops drew, tsaug gives the same windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from harkd.augment import Spec
from harkd.augment.drift import AddNoise, Drift
from harkd.augment.dropout import Dropout
from harkd.augment.keys import white_noise
from harkd.augment.quantize import Quantize
from harkd.augment.resolution import Convolve, Pooling, Resize, resample_linear
from harkd.augment.segments import Reverse
from harkd.augment.speed import Crop, SpeedWarp, crop_to
from harkd.augment.tsaug_bridge import load_tsaug

tsaug = load_tsaug()
N, TIME = 24, 64
EXACT = 1e-12
DRAWN = 2e-5  # our parameters are float32


class Given:
    """Stands for numpy's RandomState and gives, by method, what a test says (a function is given what is drawn from).

    The draw that decides with `prob` always passes.
    """

    def __init__(self, **answers):
        self.answers = answers

    def __call__(self, seed):
        return self

    def __getattr__(self, method):
        def give(*arguments, size=None, **more):
            if method == "uniform" and isinstance(size, int):
                return np.zeros(size)
            answer = self.answers.get(method, 0)
            answer = answer(arguments[0]) if callable(answer) else answer
            shape = np.atleast_1d(size if size is not None else arguments[-1])
            return np.broadcast_to(answer, shape) if np.ndim(answer) == 0 else np.reshape(answer, shape)

        return give


@pytest.fixture
def tsaugs(monkeypatch):
    """What an augmenter of tsaug makes of x (batch, channel, time) with these draws."""

    def run(augmenter, x, **answers):
        monkeypatch.setattr(np.random, "RandomState", Given(**answers))
        return torch.from_numpy(augmenter.augment(x.numpy().swapaxes(1, 2)).swapaxes(1, 2).copy())

    return run


@pytest.fixture(scope="module")
def made(bench):
    """Windows, in double precision, and their spec."""
    windows = bench.windows((bench.acc,), TIME, n=N)
    return windows.gather(torch.arange(N))["wrist_acc"].double(), Spec.of(windows)


def ours(bench, op, made, n=N):
    x, spec = made
    params = bench.draw(op, spec, n)
    return op.apply({"wrist_acc": x}, params, spec)["wrist_acc"], params


def close(a, b, atol):
    assert a.shape == b.shape
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
@pytest.mark.parametrize("distr", ["gaussian", "laplace", "uniform"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_add_noise(bench, made, tsaugs, kind, distr, per_channel):
    op = AddNoise(0.3, distr=distr, kind=kind, loc=0.5, per_channel=per_channel)
    got, params = ours(bench, op, made)
    rows = 3 if per_channel else 1
    z = white_noise(params["words"][:, 0], rows * TIME).view(N, rows, TIME).double().numpy().swapaxes(1, 2)
    p = ndtr(z)  # the same quantiles of the other distributions
    drawn = {"gaussian": z, "laplace": np.where(p < 0.5, np.log(2 * p), -np.log(2 * ndtr(-z))), "uniform": 3**0.5 * (2 * p - 1)}
    scale = 0.3 / (2**0.5 if distr == "laplace" else 1.0)  # what tsaug calls standard deviation is not that of Laplace's
    theirs = tsaug.AddNoise(loc=0.15, scale=scale, distr=distr, kind=kind, per_channel=per_channel)
    answer = {{"gaussian": "normal"}.get(distr, distr): drawn[distr]}
    close(got, tsaugs(theirs, made[0], **answer), 1e-5 if distr != "laplace" else 1e-4)


def test_noise_that_is_not_normalised_is_in_units_of_the_training_spread(bench, made, tsaugs):
    x, spec = made
    got, params = ours(bench, AddNoise(0.3, normalize=False), made)
    z = white_noise(params["words"][:, 0], 3 * TIME).view(N, 3, TIME).double()
    std = spec.std("wrist_acc", x)
    reference = tsaugs(tsaug.AddNoise(scale=0.3, normalize=False), x / std, normal=z.numpy().swapaxes(1, 2))
    close(got, reference * std, DRAWN)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 15])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "bartlett", "boxcar", "triang", "cosine"])
def test_convolve(bench, made, tsaugs, size, window):
    if size == 2 and window in ("hann", "bartlett"):
        return  # tsaug divides by 0: see test_convolve.py
    got, _ = ours(bench, Convolve(size, window), made)
    close(got, tsaugs(tsaug.Convolve(window=window, size=size), made[0]), 1e-6)


@pytest.mark.parametrize("size", [1, 2, 40, 64])
def test_crop(bench, made, tsaugs, size):
    """A cut of whole samples is tsaug's; tsaug stretches it when it is told to."""
    x, spec = made
    start = torch.arange(N) % (TIME - size + 1)

    def choice(of):
        return size if isinstance(of, list) else start.numpy()  # of the sizes, then of the places

    close(crop_to(x, start, size), tsaugs(tsaug.Crop(size), x, choice=choice), 0)
    drawn = {"size": torch.full((N, 1), size / TIME), "place": ((start + 0.5) / (TIME - size + 1))[:, None]}
    got = Crop(0.5).apply({"wrist_acc": x}, drawn, spec)["wrist_acc"]
    if size == 1:  # tsaug's Resize reads beyond a signal of one sample
        close(got, x.gather(2, start[:, None, None].expand(-1, 3, TIME)), 1e-5)
    else:
        close(got, tsaugs(tsaug.Crop(size, resize=TIME), x, choice=choice), 5e-5)


@pytest.mark.parametrize("points", [1, 3, 8])
@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_drift(bench, made, tsaugs, points, kind, per_channel):
    got, params = ours(bench, Drift(0.4, points, kind, per_channel), made)
    # Where the random walk of tsaug starts is of no effect.
    steps = np.concatenate([np.full((N, 3 if per_channel else 1, 1), 5.0), params["wrist_acc"].double().numpy()], 2)
    theirs = tsaug.Drift(max_drift=0.4, n_drift_points=points, kind=kind, per_channel=per_channel)
    close(got, tsaugs(theirs, made[0], normal=steps), DRAWN)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(("fill", "value"), [("ffill", "ffill"), ("bfill", "bfill"), ("mean", "mean"), ("zero", 0.0)])
@pytest.mark.parametrize("per_channel", [True, False])
def test_dropout(bench, made, tsaugs, size, fill, value, per_channel):
    op = Dropout(0.5, size, fill, per_channel, compat=True)
    got, params = ours(bench, op, made)
    rows = 3 if per_channel else 1
    starts = op.starts(params["words"][:, 0], params["share"], rows, TIME)
    # The index of the first lost sample is that of tsaug's place, or one more where it fills from the left.
    first = size - 1 + (fill != "bfill")
    started = starts[..., first : first + TIME - size]
    assert started.any()
    assert int(starts.sum()) == int(started.sum())
    theirs = tsaug.Dropout(p=0.5, size=size, fill=value, per_channel=per_channel)
    close(got, tsaugs(theirs, made[0], uniform=np.where(started, 0.0, 1.0)), EXACT)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 64])
@pytest.mark.parametrize("kind", ["ave", "max", "min"])
def test_pool(bench, made, tsaugs, size, kind):
    got, _ = ours(bench, Pooling(size, kind), made)
    close(got, tsaugs(tsaug.Pool(kind=kind, size=size), made[0], choice=size), EXACT)


@pytest.mark.parametrize("levels", [1, 2, 8, 10, 100])
@pytest.mark.parametrize("how", ["uniform", "quantile"])
def test_quantize(bench, made, tsaugs, levels, how):
    got, _ = ours(bench, Quantize(levels, how, compat=True), made)
    close(got, tsaugs(tsaug.Quantize(levels, how=how), made[0]), EXACT)
    better, _ = ours(bench, Quantize(levels, how), made)
    assert levels == 1 or not torch.allclose(better, got, atol=1e-3)


def test_k_means_of_tsaug_does_not_run(made, tsaugs):
    with pytest.raises(TypeError, match="n_jobs"):
        tsaugs(tsaug.Quantize(4, how="kmeans"), made[0])


@pytest.mark.parametrize("size", [1, 2, 17, 32, 63, 64, 100])
def test_resize(bench, made, tsaugs, size):
    x, spec = made
    short = resample_linear(x, size)
    close(short, tsaugs(tsaug.Resize(size), x), EXACT)
    if size <= TIME:
        got = Resize(0.5).apply({"wrist_acc": x}, {"share": torch.full((N, 1), size / TIME)}, spec)["wrist_acc"]
        close(got, short.expand(-1, -1, TIME) if size == 1 else tsaugs(tsaug.Resize(TIME), short), 5e-5)


def test_reverse(bench, made, tsaugs):
    close(ours(bench, Reverse(), made)[0], tsaugs(tsaug.Reverse(), made[0]), 0)


@pytest.mark.parametrize("ratio", [1.5, 3.0, 10.0])
@pytest.mark.parametrize("changes", [1, 3, 9])
def test_time_warp(bench, made, tsaugs, ratio, changes):
    got, params = ours(bench, SpeedWarp(ratio, changes), made)
    # tsaug maps uniforms to speeds of that ratio, up to a factor; speeds that have it already are mapped to themselves.
    theirs = tsaug.TimeWarp(n_speed_change=changes, max_speed_ratio=ratio)
    close(got, tsaugs(theirs, made[0], uniform=params["speeds"].double().numpy()), 2e-4)
