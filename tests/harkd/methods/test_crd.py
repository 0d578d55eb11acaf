"""Contrast with memories: worked values, a plain reference beside it, who can be a negative, and what is remembered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from harkd.augment import parse
from harkd.contrast import InBatch, Memories, Negatives, noise_contrast
from harkd.datasets import Windows
from harkd.errors import UsageError
from harkd.methods import METHODS
from harkd.methods.crd import Contrast
from harkd.nets import Outputs
from harkd.objectives import Context
from harkd.options import CE, CRD, KD

EVERY = torch.arange(63)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The loss


@pytest.mark.parametrize(("number", "wanted"), [(1, 1.386294), (4, 2.502012), (16384, 10.704091)])
def test_where_all_scores_are_those_of_noise(number: int, wanted: float) -> None:
    """-log(1 / (1 + m)) - m log(m / (1 + m))."""
    ones = torch.ones(2, number, dtype=torch.float64)
    loss = noise_contrast(ones[:, 0], ones, ones > 0, 1.0)
    assert loss.tolist() == pytest.approx([wanted] * 2, rel=1e-5)
    assert wanted == pytest.approx(math.log(1 + number) + number * math.log((1 + number) / number), rel=1e-6)


def test_only_some_of_the_others_count() -> None:
    negatives = torch.tensor([[1.0, 5.0, 1.0, 7.0, 1.0, 1.0]], dtype=torch.float64)
    found = noise_contrast(torch.ones(1, dtype=torch.float64), negatives, negatives == 1, 1.0)
    assert found.item() == pytest.approx(2.502012, rel=1e-5)
    nobody = noise_contrast(torch.ones(1, dtype=torch.float64), negatives, negatives == 0, 1.0)
    assert nobody.item() == pytest.approx(0.0, abs=1e-6)


def memories(windows: int = 9, **more: Any) -> Memories:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Memories(windows, 5, 7, CRD(width=4, **more))


def by_hand(
    memory: Memories, pair: tuple[Tensor, Tensor], index: list[int], negatives: list[list[int]]
) -> tuple[Tensor, list[float]]:
    """Loss (batch,) of the first batch, and Z of student's and teacher's memory, anchor by anchor."""
    said, total = memory.said.clone(), memory.said.shape[1]
    own = [normalize(pair[n] @ memory.maps[n].weight.T + memory.maps[n].bias, dim=1).detach() for n in (0, 1)]
    loss, scales = torch.zeros(len(index)), []
    for remembers, asks in ((0, 1), (1, 0)):
        scores = [
            [math.exp(float(own[asks][row] @ said[remembers, place]) / 0.07) for place in (index[row], *negatives[row])]
            for row in range(len(index))
        ]
        scale = total * float(np.mean([score for row in scores for score in row]))
        for number, row in enumerate(scores):
            positive, *others = (score / scale for score in row)
            level = len(others) / total
            loss[number] -= math.log(positive / (positive + level + 1e-7))
            loss[number] -= sum(math.log(level / (score + level + 1e-7)) for score in others)
        scales.append(scale)
    return loss, scales


def test_a_batch_by_hand() -> None:
    """Of the memory that is asked, the positive is the window's own row; the anchor is the other net's answer of now."""
    memory, pair = memories(), (draw(3, 5), draw(3, 7, seed=1))
    index, negatives = [4, 0, 7], [[1, 2], [8, 2], [1, 8]]
    wanted, scales = by_hand(memory, pair, index, negatives)
    others = torch.tensor([8, 1, 2])
    among = torch.tensor([[place in row for place in others.tolist()] for row in negatives])
    found = memory(pair, torch.tensor(index), others, among, torch.ones(3, dtype=torch.bool))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert memory.scale.tolist() == pytest.approx(scales, rel=1e-4)


def test_the_scale_is_that_of_the_first_batch() -> None:
    memory, every = memories(), torch.ones(3, dtype=torch.bool)
    among = torch.ones(3, 2, dtype=torch.bool)
    memory((draw(3, 5), draw(3, 7)), torch.tensor([0, 1, 2]), torch.tensor([5, 6]), among, every)
    first = memory.scale.clone()
    memory((draw(3, 5, seed=5), draw(3, 7, seed=6)), torch.tensor([0, 1, 2]), torch.tensor([7, 8]), among, every)
    assert torch.equal(memory.scale, first)
    assert (first > 0).all()


def test_student_and_teacher_may_change_places() -> None:
    one, other = memories(), memories()
    for name in ("weight", "bias"):
        values = [getattr(each, name).data for each in one.maps]
        for each, value in zip(other.maps, reversed(values), strict=True):
            setattr(each, name, torch.nn.Parameter(value))
    other.said.copy_(one.said.flip(0))
    pair, index, others = (draw(3, 5), draw(3, 7, seed=1)), torch.tensor([4, 0, 7]), torch.tensor([8, 1])
    among, known = torch.ones(3, 2, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    torch.testing.assert_close(one(pair, index, others, among, known), other(pair[::-1], index, others, among, known))


# What is remembered


def test_memories_begin_at_random_and_have_length_1_once_a_window_was_seen() -> None:
    memory = memories(40)
    start = memory.said.clone()
    assert start.abs().max() <= math.sqrt(3 / 4)
    assert float(start.std()) == pytest.approx(math.sqrt(3 / 4) / math.sqrt(3), rel=0.1), "uniform"
    index = torch.arange(20)
    memory(
        (draw(20, 5), draw(20, 7)),
        index,
        torch.tensor([30]),
        torch.ones(20, 1, dtype=torch.bool),
        torch.ones(20, dtype=torch.bool),
    )
    torch.testing.assert_close(memory.said[:, :20].norm(dim=2), torch.ones(2, 20))
    assert torch.equal(memory.said[:, 20:], start[:, 20:])


def test_an_update_by_hand() -> None:
    """A window that stands twice in the batch keeps its last form; one that a net cannot see stays as it was."""
    memory, pair = memories(momentum=0.25), (draw(4, 5), draw(4, 7, seed=1))
    start = memory.said.clone()
    own = [normalize(memory.maps[n](pair[n]), dim=1).detach() for n in (0, 1)]
    index, known = torch.tensor([6, 2, 6, 3]), torch.tensor([True, True, True, False])
    memory(pair, index, torch.tensor([0]), torch.ones(4, 1, dtype=torch.bool), known)
    for net in (0, 1):
        for place, row in ((6, 2), (2, 1)):
            torch.testing.assert_close(memory.said[net, place], normalize(0.25 * start[net, place] + 0.75 * own[net][row], dim=0))
    rest = torch.tensor([0, 1, 3, 4, 5, 7, 8])
    assert torch.equal(memory.said[:, rest], start[:, rest])


# Negatives


def overlapping(toy: Any) -> Windows:
    """The windows of the toy world, but each begins in the middle of the one before it."""
    return replace(toy.train, starts={name: start // 2 for name, start in toy.train.starts.items()})


@pytest.mark.parametrize(
    "options", [CRD(), CRD(negatives=5), CRD(other_subjects=True), CRD(contrast_with="all_windows", negatives=60)]
)
def test_who_can_be_a_negative(toy: Any, options: CRD) -> None:
    windows = overlapping(toy)
    negatives = Negatives(windows, options)
    others, among = negatives.draw(EVERY, rng())
    assert len(others.unique()) == len(others)
    for row, anchor in zip(among, EVERY.tolist(), strict=True):
        can = torch.ones(63, dtype=torch.bool)
        if options.contrast_with == "other_classes":
            can &= windows.labels != windows.labels[anchor]
        if options.other_subjects:
            can &= torch.from_numpy(windows.subjects != windows.subjects[anchor])
        near = (windows.starts["acc"] - windows.starts["acc"][anchor]).abs() < 32
        can &= ~(near & torch.from_numpy(windows.recordings == windows.recordings[anchor]))
        taken = others[row]
        assert can[taken].all()
        assert len(taken) == min(negatives.number, int(can.sum()))


def test_a_window_is_never_its_own_negative(toy: Any) -> None:
    """60 of 63: the window and its two neighbours overlap it, at the ends of a recording only one does."""
    others, among = Negatives(overlapping(toy), CRD(contrast_with="all_windows", negatives=63)).draw(EVERY, rng())
    assert not among[:, :][others == EVERY[:, None]].any()
    assert Counter(among.sum(1).tolist()) == {60: 45, 61: 18}


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (CRD(), (63 - 21) // 2),
        (CRD(contrast_with="all_windows"), 63 // 2),
        (CRD(other_subjects=True), (63 - 21 - 21) // 2),
        (CRD(negatives=7), 7),
    ],
)
def test_how_many_negatives(toy: Any, options: CRD, wanted: int) -> None:
    assert Negatives(toy.train, options).number == wanted


def test_all_that_can_be_negatives_are_as_often(toy: Any) -> None:
    negatives, counts = Negatives(toy.train, CRD(negatives=6)), torch.zeros(63)
    generator = rng()
    for _ in range(2000):
        others, among = negatives.draw(torch.tensor([0]), generator)
        counts[others[among[0]]] += 1
    can = toy.train.labels != toy.train.labels[0]
    share = counts / 2000
    assert (share[~can] == 0).all()
    assert (share[can] - 6 / 42).abs().max() < 0.035, "4.5 standard errors"


def test_what_is_drawn_is_a_function_of_seed_and_step(toy: Any) -> None:
    negatives = Negatives(toy.train, CRD())
    one, again, another = (negatives.draw(EVERY[:8], rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0], another[0])


# Whole runs


@pytest.mark.parametrize(("draws", "dropout"), [(0, 0.0), (2, 0.5)])
@pytest.mark.parametrize(
    ("options", "key", "other"),
    [
        (CRD(contrast_weight=0.0), "ce", CE()),
        (CRD(contrast_weight=0.0, label_weight=0.25, kl_weight=0.75), "kd", KD(weight=0.75)),
    ],
    ids=["labels alone", "kd"],
)
def test_without_contrast(toy: Any, options: CRD, key: str, other: Any, draws: int, dropout: float) -> None:
    ends = []
    for name, chosen in (("crd", options), (key, other)):
        student = toy.player(toy.net(dropout=dropout), augment=parse("shifting(0.5)|mixup(0.4)"))
        toy.fit(toy.phases(name, student, None if name == "ce" else toy.teacher(), options=chosen, draws=draws))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


def test_both_maps_are_trained_and_the_teacher_is_not(toy: Any) -> None:
    student, teacher = toy.player(), toy.teacher()
    before = toy.state(teacher.net)
    phases = toy.phases("crd", student, teacher, options=CRD(width=16), epochs=6)
    seen: list[dict[str, Tensor]] = []
    phases[0].objective.register_forward_pre_hook(lambda module, given: seen.append(toy.state(module)) if not seen else None)
    terms = [record["terms"]["crd"] for record in toy.fit(phases)]
    assert toy.equal(toy.state(teacher.net), before)
    names = [f"objectives.1.contrasts.teacher.maps.{net}.weight" for net in (0, 1)]
    assert all(not torch.equal(toy.state(phases[0].objective)[name], seen[0][name]) for name in names)
    assert terms[-1] < terms[1], "the first epoch meets random memories"


def test_of_the_teachers_who_see_a_window_the_mean_counts(toy: Any, context: Callable[..., Context]) -> None:
    names = ("teacher-1", "teacher-2")
    embeddings = {"student": draw(6, 5), **{name: draw(6, 7, seed=n) for n, name in enumerate(names, 1)}}
    outputs = {name: Outputs(torch.zeros(6, 3), embedding=each) for name, each in embeddings.items()}
    lacks = {"teacher-2": torch.arange(6) > 0}
    given = context(outputs, index=torch.arange(6) * 10, masks=lacks)
    objective = Contrast(names, CRD(width=4))
    objective.bind(given, toy.train)
    kept = {name: each.said.clone() for name, each in objective.contrasts.items()}
    found = objective(given)["crd"]
    others, among = objective.negatives.draw(given.batch.index, context(outputs).rng)
    each = []
    for name in names:
        memory = objective.contrasts[name]
        memory.said.copy_(kept[name])
        known = lacks.get(name, torch.ones(6, dtype=torch.bool))
        each.append(memory((embeddings["student"], embeddings[name]), given.batch.index, others, among, known))
        assert torch.equal(memory.said[:, 0], kept[name][:, 0]) is (name == "teacher-2")
    torch.testing.assert_close(found, torch.where(torch.arange(6) > 0, (each[0] + each[1]) / 2, each[0]))


# Negatives of the batch


def test_a_batch_without_memory_by_hand() -> None:
    """Cross-entropy of finding a window among itself and its negatives, once by each net's embedding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        contrast = InBatch(5, 7, CRD(width=4, contrast_temperature=0.5))
    pair = draw(4, 5), draw(4, 7, seed=1)
    among = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    known = torch.tensor([True, True, False, True])
    found = contrast(pair, torch.arange(4), torch.arange(4), among, known)
    student, teacher = (normalize(each(x), dim=1).detach() for each, x in zip(contrast.maps, pair, strict=True))
    for row, negatives in ((0, [1]), (1, [0, 3])):  # the third window is no negative: somebody does not see it
        wanted = 0.0
        for anchor, others in ((student, teacher), (teacher, student)):
            scores = [math.exp(2 * float(anchor[row] @ others[place])) for place in (row, *negatives)]
            wanted -= math.log(scores[0] / sum(scores))
        assert found[row].item() == pytest.approx(wanted, rel=1e-5)
    assert found[3].item() == pytest.approx(0.0, abs=1e-6), "nobody to be told from"


def test_equal_scores_in_a_batch() -> None:
    """One window and m negatives that nothing tells apart: ln(1 + m), both ways."""
    contrast = InBatch(3, 3, CRD(width=2))
    same = torch.ones(5, 3)
    found = contrast((same, same), torch.arange(5), torch.arange(5), ~torch.eye(5, dtype=torch.bool), torch.ones(5).bool())
    assert found.tolist() == pytest.approx([2 * math.log(5)] * 5, rel=1e-5)


def test_negatives_of_the_batch_are_of_other_classes(toy: Any) -> None:
    index = torch.tensor([0, 21, 42, 5, 0])
    others, among = Negatives(toy.train, CRD(negatives_from="batch")).draw(index, rng())
    labels = toy.train.labels[index]
    assert torch.equal(others, index)
    assert torch.equal(among, labels[:, None] != labels)
    every, all_but_itself = Negatives(toy.train, CRD(negatives_from="batch", contrast_with="all_windows")).draw(index, rng())
    assert torch.equal(all_but_itself, every[:, None] != every), "also where it stands in the batch twice"


def test_a_run_without_memory(toy: Any) -> None:
    phases = toy.phases("crd", toy.player(), toy.teacher(), options=CRD(width=16, negatives_from="batch"), epochs=6)
    terms = [record["terms"]["crd"] for record in toy.fit(phases)]
    assert not list(phases[0].objective.buffers())
    assert terms[-1] < 0.9 * terms[0]


@pytest.mark.parametrize("step", [2, 6])
def test_a_run_goes_on_where_it_stopped(toy: Any, goes_on: Callable[..., Any], step: int) -> None:
    def run(keeper: Any) -> dict[str, Tensor]:
        student = toy.player(toy.net(dropout=0.3), augment=parse("shifting(0.5)"))
        phases = METHODS["crd"]({"student": student, "teacher": toy.teacher()}, CRD(width=8), toy.plan())
        toy.fit(phases, keeper=keeper)
        return toy.state(student.net) | {f"objective {name}": each for name, each in toy.state(phases[0].objective).items()}

    assert toy.equal(*goes_on(run, step))


@pytest.mark.parametrize(
    "options",
    [{"contrast_temperature": 0.0}, {"width": 0}, {"negatives": -1}, {"momentum": 1.5}, {"label_weight": -1.0}],
    ids=str,
)
def test_options_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        CRD(**options)
