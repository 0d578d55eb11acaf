"""Relations: worked values, NumPy, SciPy and scikit-learn beside them, what drops out, and what must not break a gradient."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from harkd.datasets import IGNORE
from harkd.relations import (
    NEAR,
    SPREAD,
    adain,
    angles,
    attention_distance,
    attention_map,
    cka,
    conditional,
    cosine_kernel,
    distances,
    fsp,
    heavy_tailed_kernel,
    jeffreys,
    map_distance,
    pkt,
    rkd_angle,
    rkd_distance,
    separability,
    standardised,
    statistics,
    statistics_distance,
)

Compare = Callable[[Tensor, Tensor], Tensor]

OF_MAPS: dict[str, Compare] = {"maps": map_distance, "statistics": statistics_distance, "attention": attention_distance}
OF_WINDOWS: dict[str, Compare] = {"pkt": pkt, "distance": rkd_distance, "angle": rkd_angle}
of_windows = pytest.mark.parametrize("compare", OF_WINDOWS.values(), ids=OF_WINDOWS)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width: int) -> Tensor:
    return torch.linalg.qr(draw(width, width, seed=7)).Q


# Maps


def test_statistics_by_hand() -> None:
    mean, std = statistics(torch.tensor([[[1.0, 3.0], [5.0, 5.0]], [[0.0, 0.0], [-1.0, 1.0]]]))
    assert mean.tolist() == [[2.0, 5.0], [0.0, 0.0]]
    assert std.tolist() == [pytest.approx([1.0, math.sqrt(SPREAD)], rel=1e-5), pytest.approx([math.sqrt(SPREAD), 1.0], rel=1e-5)]


def test_a_map_of_one_moment_has_statistics_and_gradients() -> None:
    maps = draw(3, 4, 1).requires_grad_()
    mean, std = statistics(maps)
    assert torch.equal(mean, maps[..., 0])
    torch.testing.assert_close(std, torch.full_like(std, math.sqrt(SPREAD)))
    (mean.sum() + std.sum()).backward()
    assert maps.grad is not None
    assert torch.equal(maps.grad, torch.ones_like(maps))


def test_the_distance_of_statistics_by_hand() -> None:
    """Means 2 and 0, deviations 1 and 2; then a second channel that is the same."""
    told, mine = torch.tensor([[[1.0, 3.0], [4.0, 4.0]]]), torch.tensor([[[2.0, -2.0, 2.0, -2.0], [4.0, 4.0, 4.0, 4.0]]])
    assert statistics_distance(told[:, :1], mine[:, :1]).tolist() == pytest.approx([5.0], rel=1e-5)
    assert statistics_distance(told, mine).tolist() == pytest.approx([2.5], rel=1e-5)


def test_the_statistics_of_the_student_replace_those_of_the_teacher() -> None:
    """Teacher [1, 3]; student with mean 0 and deviation 2: [-2, 2]."""
    told, mine = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[2.0, -2.0]]])
    torch.testing.assert_close(adain(told, mine), torch.tensor([[[-2.0, 2.0]]]), rtol=0, atol=2e-5)


def test_what_is_injected_is_there_afterwards() -> None:
    told, mine = 3 + 5 * draw(6, 4, 20), draw(6, 4, 33, seed=1) - 2
    given = adain(told, mine)
    assert given.shape == told.shape
    for one, other in zip(statistics(given), statistics(mine), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    correlated = (standardised(given) * standardised(told)).mean(-1)
    torch.testing.assert_close(correlated, torch.ones(6, 4, dtype=torch.float64), rtol=0, atol=1e-4)


def test_equal_statistics_leave_the_teacher_as_it_was() -> None:
    told = draw(6, 4, 20)
    shuffled = told[..., torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(adain(told, shuffled), told, rtol=0, atol=1e-5)


def test_attention_by_hand() -> None:
    """Energies (1 + 9) / 2 and (4 + 4) / 2 are 5 and 4; then four moments, averaged by two."""
    maps = torch.tensor([[[1.0, -2.0], [3.0, 2.0]]])
    torch.testing.assert_close(attention_map(maps), torch.tensor([[5.0, 4.0]]) / math.sqrt(41))
    longer = torch.tensor([[[1.0, 3.0, 2.0, 2.0]]])
    torch.testing.assert_close(attention_map(longer, 2), torch.tensor([[5.0, 4.0]]) / math.sqrt(41))
    assert attention_distance(maps, longer).tolist() == pytest.approx([0.0], abs=1e-12)
    once = torch.tensor([[[0.0, 7.0]]])
    wanted = ((5 / math.sqrt(41)) ** 2 + (4 / math.sqrt(41) - 1) ** 2) / 2
    assert attention_distance(maps, once).tolist() == pytest.approx([wanted], rel=1e-6)


def test_attention_knows_neither_gain_nor_sign_nor_order_of_channels() -> None:
    maps = draw(5, 4, 20)
    other = 3 * maps[:, [2, 0, 3, 1]] * torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None]
    torch.testing.assert_close(attention_map(other), attention_map(maps))
    torch.testing.assert_close(attention_map(maps).norm(dim=-1), torch.ones(5, dtype=torch.float64))


def test_a_dead_map_attends_nowhere_and_harms_nothing() -> None:
    mine = torch.zeros(2, 3, 10, requires_grad=True)
    attention_distance(draw(2, 4, 20).float(), mine).sum().backward()
    assert mine.grad is not None
    assert not mine.grad.any()


def test_flow_by_hand() -> None:
    """(1 * 3 + 2 * 4) / 2; the longer map is averaged first."""
    assert fsp(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0]]])).tolist() == [[[5.5]]]
    assert fsp(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 3.0, 1.0, 7.0]]])).tolist() == [[[5.5]]]
    assert fsp(torch.tensor([[[3.0, 3.0, 1.0, 7.0]]]), torch.tensor([[[1.0, 2.0]]])).tolist() == [[[5.5]]]


def test_a_standardised_flow_is_a_correlation() -> None:
    one, other = 5 + 3 * draw(2, 4, 30), draw(2, 3, 30, seed=1)
    flow = fsp(one, other, standardise=True)
    for number in range(2):
        wanted = np.corrcoef(one[number].numpy(), other[number].numpy())[:4, 4:]
        np.testing.assert_allclose(flow[number].numpy(), wanted, atol=1e-4)
    assert not fsp(one[..., :1], other[..., :1], standardise=True).any(), "no time, no correlation"


@pytest.mark.parametrize("compare", OF_MAPS.values(), ids=OF_MAPS)
def test_every_sample_is_compared_for_itself(compare: Compare) -> None:
    told, mine = draw(2, 5, 4, 20), draw(2, 5, 4, 20, seed=1)
    together = compare(told, mine)
    assert together.shape == (2, 5)
    assert (together > 0).all()
    torch.testing.assert_close(together[1, 2], compare(told[1, 2], mine[1, 2]))
    assert not compare(told, told.clone()).any()


# Windows


def test_the_heavy_tailed_kernel_of_a_toy() -> None:
    """Teacher {0, 1, 3}, student {0, 2, 3}, on a line."""
    told, mine = (torch.tensor(places, dtype=torch.float64)[:, None] for places in ([0, 1, 3], [0, 2, 3]))
    kernels = [conditional(heavy_tailed_kernel(each, near=0.0)) for each in (told, mine)]
    torch.testing.assert_close(kernels[0][0], torch.tensor([1, 1 / 2, 1 / 4], dtype=torch.float64) / 1.75)
    assert jeffreys(*kernels).item() == pytest.approx(0.0149659, abs=5e-8)


@pytest.mark.parametrize("kernel", [cosine_kernel, heavy_tailed_kernel])
def test_rows_are_probabilities(kernel: Callable[[Tensor], Tensor]) -> None:
    shares = conditional(kernel(draw(2, 7, 3)))
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 7, dtype=torch.float64))
    assert (shares > 0).all()


def numpy_pkt(told: np.ndarray, mine: np.ndarray) -> float:
    total = 0.0
    for kernel in (lambda x: 1 - cdist(x, x, "cosine") / 2, lambda x: 1 / (1 + np.sqrt(cdist(x, x) ** 2 + NEAR))):
        p, q = (kernel(x) / kernel(x).sum(1, keepdims=True) for x in (told, mine))
        total += np.mean((p - q) * (np.log(p) - np.log(q)))
    return total


def numpy_rkd_distance(told: np.ndarray, mine: np.ndarray) -> float:
    one, other = (cdist(x, x) / cdist(x, x)[~np.eye(len(x), dtype=bool)].mean() for x in (told, mine))
    return huber(other - one).mean()


def numpy_rkd_angle(told: np.ndarray, mine: np.ndarray) -> float:
    found = []
    for x in (told, mine):
        cosines = np.zeros((len(x),) * 3)
        for i, j, k in itertools.product(range(len(x)), repeat=3):
            if i not in (j, k):
                one, other = x[j] - x[i], x[k] - x[i]
                cosines[i, j, k] = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        found.append(cosines)
    return huber(found[1] - found[0]).mean()


def huber(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1, x**2 / 2, np.abs(x) - 0.5)


@pytest.mark.parametrize(
    ("compare", "reference"),
    [(pkt, numpy_pkt), (rkd_distance, numpy_rkd_distance), (rkd_angle, numpy_rkd_angle)],
    ids=list(OF_WINDOWS),
)
def test_numpy_says_the_same_of_nets_of_other_width(
    compare: Compare, reference: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    for batch in (2, 6):
        told, mine = 4 * draw(batch, 5) + 1, draw(batch, 3, seed=1)
        assert compare(told, mine).item() == pytest.approx(reference(told.numpy(), mine.numpy()), rel=1e-4, abs=1e-6)


def test_distances_of_a_toy() -> None:
    """{0, 1, 3} and {0, 2, 3} have relative distances 1/2, 3/2, 1 and 1, 3/2, 1/2: four of nine pairs differ by a half."""
    told, mine = (torch.tensor(places, dtype=torch.float64)[:, None] for places in ([0, 1, 3], [0, 2, 3]))
    torch.testing.assert_close(distances(told, near=0.0), torch.tensor([[0, 1, 3], [1, 0, 2], [3, 2, 0]], dtype=torch.float64))
    assert rkd_distance(told, mine).item() == pytest.approx(4 * 0.125 / 9, rel=1e-5)
    assert rkd_angle(told, mine).item() == pytest.approx(0.0, abs=1e-9), "their order is the same"


def test_angles_of_a_toy() -> None:
    """An equilateral triangle, all cosines 1/2, and one with a right angle and two of 45 degrees."""
    told = torch.tensor([[0, 0], [1, 0], [0.5, math.sqrt(0.75)]], dtype=torch.float64)
    mine = torch.tensor([[0, 0], [1, 0], [0, 1]], dtype=torch.float64)
    found = angles(mine, near=0.0)
    assert found[0, 1].tolist() == pytest.approx([0, 1, 0])
    assert found[1, 0].tolist() == pytest.approx([1, 0, math.sqrt(0.5)])
    wanted = 2 * (0.5**2 + 2 * (math.sqrt(0.5) - 0.5) ** 2) / 2 / 27
    assert rkd_angle(told, mine).item() == pytest.approx(wanted, rel=1e-5)


@of_windows
def test_equal_embeddings_have_no_distance_at_all(compare: Compare) -> None:
    embedding = draw(6, 4).float()
    assert compare(embedding, embedding.clone()).item() == 0.0


@of_windows
def test_a_distance_is_never_negative(compare: Compare) -> None:
    assert all(compare(draw(8, 5, seed=seed), draw(8, 3, seed=99 - seed)) > 0 for seed in range(20))


@of_windows
def test_turning_either_side_changes_nothing(compare: Compare) -> None:
    told, mine = draw(7, 5), draw(7, 4, seed=1)
    wanted = compare(told, mine).item()
    assert compare(told @ rotation(5), mine).item() == pytest.approx(wanted, rel=1e-9)
    assert compare(told, mine @ rotation(4)).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("compare", [rkd_distance, rkd_angle])
def test_size_and_place_drop_out_of_relations(compare: Compare) -> None:
    told, mine = draw(7, 5), draw(7, 4, seed=1)
    assert compare(told, 9 * mine + 3).item() == pytest.approx(compare(told, mine).item(), rel=1e-4)
    assert compare(told, mine**3).item() != pytest.approx(compare(told, mine).item(), rel=1e-2)


def test_size_drops_out_of_cosines_alone() -> None:
    embedding = draw(7, 4)
    torch.testing.assert_close(cosine_kernel(9 * embedding), cosine_kernel(embedding), rtol=1e-5, atol=0)
    assert not torch.allclose(heavy_tailed_kernel(9 * embedding), heavy_tailed_kernel(embedding), rtol=1e-2)


@of_windows
def test_one_window_alone_or_none_has_no_relations(compare: Compare) -> None:
    assert compare(draw(1, 4), draw(1, 3, seed=1)).item() == 0.0
    assert compare(draw(0, 4), draw(0, 3)).item() == 0.0


@of_windows
def test_windows_that_coincide_have_a_gradient(compare: Compare) -> None:
    mine = draw(6, 4).float()
    mine[1], mine[2], mine[4] = mine[0], mine[0], 0.0
    mine.requires_grad_()
    compare(draw(6, 5, seed=1).float(), mine).backward()
    assert mine.grad is not None
    assert mine.grad.isfinite().all()
    assert mine.grad.any()


def test_without_the_small_number_in_the_root_they_have_none() -> None:
    mine = torch.ones(2, 3, requires_grad=True)
    distances(mine, near=0.0).sum().backward()
    assert mine.grad is not None
    assert mine.grad.isnan().any()


def test_opposite_directions_have_a_logarithm() -> None:
    mine = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = jeffreys(conditional(cosine_kernel(torch.ones(2, 2))), conditional(cosine_kernel(mine, near=0.0)))
    loss.backward()
    assert loss.isfinite()
    assert mine.grad is not None
    assert mine.grad.isfinite().all()


@of_windows
def test_gradients_are_those_of_finite_differences(compare: Compare) -> None:
    assert torch.autograd.gradcheck(lambda mine: compare(draw(5, 4), mine), draw(5, 3, seed=1).requires_grad_())


@pytest.mark.parametrize("compare", [*OF_WINDOWS.values(), cka], ids=[*OF_WINDOWS, "cka"])
def test_stacked_batches_are_compared_each_for_itself(compare: Compare) -> None:
    told, mine = draw(2, 6, 5), draw(2, 6, 3, seed=1)
    each = [compare(*pair).item() for pair in zip(told, mine, strict=True)]
    assert compare(told, mine).tolist() == pytest.approx(each, rel=1e-9)
    assert each[0] != pytest.approx(each[1], rel=1e-3)


# Alignment and separability

CORNERS = torch.tensor([[1, 0], [0, 1], [-1, -1]], dtype=torch.float64)


def test_alignment_of_worked_examples() -> None:
    assert cka(CORNERS, CORNERS).item() == pytest.approx(1, abs=1e-12)
    assert cka(CORNERS, CORNERS.flip(1)).item() == pytest.approx(1, abs=1e-12)
    assert cka(CORNERS, torch.tensor([[1], [0], [-1]], dtype=torch.float64)).item() == pytest.approx(0.790569, abs=5e-7)


def test_alignment_knows_neither_direction_nor_size_nor_place() -> None:
    told, mine = draw(20, 6), draw(20, 4, seed=1)
    wanted = cka(told, mine).item()
    assert 0 < wanted < 0.9
    assert cka(told @ rotation(6), -5 * mine @ rotation(4) + 2).item() == pytest.approx(wanted, rel=1e-9)
    centred = [x.numpy() - x.numpy().mean(0) for x in (told, mine)]
    norms = [np.linalg.norm(x.T @ x) for x in centred]
    assert wanted == pytest.approx(np.linalg.norm(centred[1].T @ centred[0]) ** 2 / norms[0] / norms[1], rel=1e-9)


def test_alignment_with_a_constant_is_zero() -> None:
    assert cka(draw(9, 3), torch.full((9, 4), 2.0, dtype=torch.float64)).item() == 0.0


def test_separability_by_hand() -> None:
    """Means 1 and 10 tell all apart; with means 3 and 10 the window at 9 is nearer to the other class."""
    embedding = torch.tensor([[0.0], [1.0], [2.0], [7.0], [11.0], [12.0]])
    assert separability(embedding, torch.tensor([0, 0, 0, 1, 1, 1])).item() == 1.0
    mixed = torch.tensor([[0.0], [0.0], [9.0], [10.0], [10.0]])
    assert separability(mixed, torch.tensor([0, 0, 0, 1, 1])).item() == pytest.approx(0.8)
    assert separability(embedding, torch.tensor([0, 0, 0, IGNORE, 3, 3])).item() == 1.0


def test_scikit_learn_separates_alike() -> None:
    labels = torch.arange(90) % 3
    embedding = draw(90, 4) + 0.8 * torch.nn.functional.one_hot(labels, 4)
    wanted = NearestCentroid().fit(embedding.numpy(), labels.numpy()).score(embedding.numpy(), labels.numpy())
    assert 0.4 < wanted < 0.9
    assert separability(embedding, labels).item() == pytest.approx(wanted)
