"""The order of windows: every one once per pass, in batches of one size, with its visits counted."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from harkd.curriculum import Drawn, Shuffle

CPU = torch.device("cpu")
SIZES = [(63, 16), (64, 16), (10, 3), (5, 7), (3, 10), (1, 4), (4, 1), (100, 100)]


def begun(length: int, batch: int, draws: int = 0, seed: int = 0) -> Shuffle:
    curriculum = Shuffle(batch, draws)
    curriculum.begin(length, seed, CPU)
    return curriculum


def walk(curriculum: Shuffle, steps: int) -> list[tuple[int, int]]:
    taken = [curriculum.take(step) for step in range(steps)]
    return [pair for drawn in taken for pair in zip(drawn.index.tolist(), drawn.draw.tolist(), strict=True)]


@pytest.mark.parametrize(("length", "batch"), SIZES)
def test_every_window_comes_once_per_pass(length: int, batch: int) -> None:
    visits = walk(begun(length, batch), 40)
    assert len(visits) == 40 * batch
    for start in range(0, len(visits) - length + 1, length):
        assert sorted(index for index, _ in visits[start : start + length]) == list(range(length))


@pytest.mark.parametrize(("length", "batch"), SIZES)
@pytest.mark.parametrize("draws", [0, 1, 3])
def test_the_draw_number_counts_a_windows_visits(length: int, batch: int, draws: int) -> None:
    seen = Counter[int]()
    for index, draw in walk(begun(length, batch, draws), 40):
        assert draw == (seen[index] % draws if draws else seen[index])
        seen[index] += 1


@pytest.mark.parametrize(("length", "batch"), SIZES)
def test_all_batches_have_the_same_size(length: int, batch: int) -> None:
    curriculum = begun(length, batch)
    shapes = {(drawn.index.shape, drawn.draw.shape) for drawn in map(curriculum.take, range(30))}
    assert shapes == {((batch,), (batch,))}
    assert curriculum.take(0).weight is None


@pytest.mark.parametrize(("length", "batch"), SIZES)
def test_an_epoch_shows_every_window_at_least_once_on_average(length: int, batch: int) -> None:
    steps = begun(length, batch).steps(0)
    assert (steps - 1) * batch < length <= steps * batch


@pytest.mark.parametrize(("length", "batch"), SIZES)
@pytest.mark.parametrize("draws", [0, 1, 2, 5])
def test_draws_of_an_epoch_are_those_that_come(length: int, batch: int, draws: int) -> None:
    curriculum = begun(length, batch, draws)
    for epoch in range(12):
        taken = [curriculum.take(step) for step in range(epoch * curriculum.steps(0), (epoch + 1) * curriculum.steps(0))]
        assert curriculum.draws_of(epoch) == sorted({int(draw) for drawn in taken for draw in drawn.draw})


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    def same(one: Drawn, other: Drawn) -> bool:
        return torch.equal(one.index, other.index) and torch.equal(one.draw, other.draw)

    forward, alone = begun(63, 16), begun(63, 16)
    taken = [forward.take(step) for step in range(20)]
    for step in (19, 3, 11, 0, 4, 4):
        assert same(alone.take(step), taken[step])
    assert not torch.equal(begun(63, 16, seed=1).take(0).index, taken[0].index)


def test_beginning_again_with_another_seed_forgets_the_old_order() -> None:
    curriculum = begun(63, 16)
    curriculum.take(0)
    curriculum.begin(63, 1, CPU)
    assert torch.equal(curriculum.take(0).index, begun(63, 16, seed=1).take(0).index)


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(begun(20, 20, seed=seed).take(step).index.tolist()) for seed in range(20) for step in range(20)]
    assert len(set(orders)) == 400


def test_orders_are_fair() -> None:
    # Where window 0 of 5 comes, over 2,000 passes: 400 each, standard deviation 18.
    curriculum = begun(5, 5)
    places = Counter(curriculum.take(step).index.tolist().index(0) for step in range(2000))
    assert all(abs(places[place] - 400) < 4 * 18 for place in range(5))
