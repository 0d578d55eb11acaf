"""Baselines that compare features: stats, at, fsp, pkt and rkd. Their functions have tests of their own (test_relations.py)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harkd.augment import Batch, parse
from harkd.errors import UsageError
from harkd.nets import Outputs, staged
from harkd.objectives import Context, Objective
from harkd.options import AT, FSP, KD, METHOD_OPTIONS, PKT, RKD, Stats
from harkd.relations import attention_distance, fsp, pkt, rkd_angle, rkd_distance, statistics_distance
from harkd.schedule import Progress

TERMS = {"stats": ["stats"], "at": ["attention"], "fsp": ["flow"], "pkt": ["pkt"], "rkd": ["distance", "angle"]}
RELATIONS = {"pkt": pkt, "distance": rkd_distance, "angle": rkd_angle}
OFF: dict[str, Any] = {
    "stats": Stats(stats_weight=0.0),
    "at": AT(attention_weight=0.0),
    "fsp": FSP(flow_weight=0.0),
    "pkt": PKT(pkt_weight=0.0),
    "rkd": RKD(distance_weight=0.0, angle_weight=0.0),
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def answer(*widths: int, time: int = 16, seed: int = 0) -> Outputs:
    """Features of five windows, each map half as long as the one before, and an embedding."""
    maps = tuple(draw(5, width, time >> place, seed=seed + place) for place, width in enumerate(widths))
    return Outputs(torch.zeros(5, 3), maps, draw(5, widths[-1], seed=seed + 9))


def context(mine: Outputs, told: Outputs, masks: dict[str, Tensor] | None = None) -> Context:
    number = torch.arange(5)
    batch = Batch({}, {"y": number % 3}, number, number, number)
    return Context(batch, {"student": mine, "teacher": told}, {}, Progress(0, 1, 0, 1), "y", masks=masks or {})


def objective(toy: Any, key: str, given: Context, options: Any = None) -> Objective:
    (phase,) = toy.phases(key, toy.player(), toy.teacher(), options=options)
    phase.objective.bind(given, None)  # type: ignore[arg-type]
    return phase.objective


def test_statistics_and_attention_are_summed_over_stages(toy: Any) -> None:
    mine, told = answer(4, 6, 8), answer(7, 4, 6, 8, time=40, seed=20)
    given = context(mine, told)
    pairs = list(zip(mine.features, told.features[1:], strict=True))
    stats = torch.stack([statistics_distance(theirs, ours) for ours, theirs in pairs[:-1]]).sum(0)
    torch.testing.assert_close(objective(toy, "stats", given)(given)["stats"], stats)
    attention = torch.stack([attention_distance(theirs, ours) for ours, theirs in pairs]).sum(0)
    torch.testing.assert_close(objective(toy, "at", given)(given)["attention"], attention)
    chosen = AT(student_stages=(0,), teacher_stages=(-1,))
    torch.testing.assert_close(
        objective(toy, "at", given, chosen)(given)["attention"], attention_distance(told.features[-1], mine.features[0])
    )


def test_attention_says_that_maps_without_time_teach_nothing(toy: Any) -> None:
    given = context(answer(4, 8), answer(8, time=1, seed=20))
    attention = objective(toy, "at", given)
    assert attention(given)["attention"].tolist() == [0.0] * 5
    (remark,) = attention.remarks()
    assert remark.startswith("the maps of 'teacher' that are compared have length 1")
    assert objective(toy, "at", context(answer(4, 8), answer(8, seed=20))).remarks() == []


@pytest.mark.parametrize("standardise", [False, True])
def test_flows_go_from_each_stage_to_the_next(toy: Any, standardise: bool) -> None:
    mine, told = answer(4, 6, 8), answer(4, 6, 8, seed=20)
    given = context(mine, told)
    wanted = torch.zeros(5)
    for place in (0, 1):
        ours, theirs = (fsp(*each.features[place : place + 2], standardise=standardise) for each in (mine, told))
        wanted += (ours - theirs).square().mean((1, 2))
    torch.testing.assert_close(objective(toy, "fsp", given, FSP(standardise=standardise))(given)["flow"], wanted)


def test_the_flow_of_a_single_map_is_that_into_itself(toy: Any) -> None:
    mine, told = answer(4, 8), answer(8, time=1, seed=20)
    given = context(mine, told)
    embedding, theirs = mine.features[1].mean(2), told.features[0][..., 0]
    wanted = (embedding[:, :, None] * embedding[:, None] - theirs[:, :, None] * theirs[:, None]).square().mean((1, 2))
    torch.testing.assert_close(objective(toy, "fsp", given)(given)["flow"], wanted)


def test_windows_are_compared_by_their_embeddings(toy: Any) -> None:
    mine, told = answer(4), answer(9, seed=20)
    given = context(mine, told)
    assert mine.embedding is not None
    assert told.embedding is not None
    found = objective(toy, "pkt", given)(given) | objective(toy, "rkd", given)(given)
    for term, compare in RELATIONS.items():
        assert found[term].shape == ()
        torch.testing.assert_close(found[term], compare(told.embedding, mine.embedding))


@pytest.mark.parametrize("blind", ["student", "teacher"])
@pytest.mark.parametrize("key", TERMS)
def test_windows_that_somebody_does_not_see(toy: Any, key: str, blind: str) -> None:
    """Losses of samples are zero there; losses of pairs of windows leave them out."""
    there = torch.tensor([True, False, True, True, False])
    mine, told = answer(4, 6), answer(4, 6, seed=20)
    given, masked = context(mine, told), context(mine, told, {blind: there})
    assert mine.embedding is not None
    assert told.embedding is not None
    compare = objective(toy, key, given)
    for term in TERMS[key]:
        found = compare(masked)[term]
        if found.dim():
            torch.testing.assert_close(found, torch.where(there, compare(given)[term], 0.0))
        else:
            torch.testing.assert_close(found, RELATIONS[term](told.embedding[there], mine.embedding[there]))
            assert found.item() != pytest.approx(compare(given)[term].item())
            assert compare(context(mine, told, {blind: there & False}))[term].item() == 0.0


@pytest.mark.parametrize("key", ["pkt", "rkd"])
def test_a_head_without_an_embedding(toy: Any, key: str) -> None:
    bare = toy.player(staged(nn.Identity(), [nn.ReLU()], nn.Sequential(nn.Conv1d(6, 3, 32), nn.Flatten())))
    with pytest.raises(UsageError, match=rf"^{TERMS[key][0]} needs an embedding, and the head of 'teacher' gives logits alone$"):
        toy.fit(toy.phases(key, toy.player(), bare, epochs=1))


@pytest.mark.parametrize(
    ("key", "weights"),
    [
        ("stats", {"stats": 1.0}),
        ("at", {"attention": 1000.0}),
        ("fsp", {"flow": 1.0}),
        ("pkt", {"pkt": 100.0}),
        ("rkd", {"distance": 25.0, "angle": 50.0}),
    ],
)
def test_weights(toy: Any, key: str, weights: dict[str, float]) -> None:
    (phase,) = toy.phases(key, toy.player(), toy.teacher())
    (step,) = phase.steps
    assert step.weights == pytest.approx({"ce": 0.1, "kl": 0.9} | weights)
    changed = METHOD_OPTIONS[key](**{f"{name}_weight": 0.5 for name in weights})
    (phase,) = toy.phases(key, toy.player(), toy.teacher(), options=changed)
    assert phase.steps[0].weights == pytest.approx({"ce": 0.1, "kl": 0.9} | dict.fromkeys(weights, 0.5))
    for name in weights:
        with pytest.raises(UsageError, match=f"{name}_weight"):
            METHOD_OPTIONS[key](**{f"{name}_weight": -1.0})


@pytest.mark.parametrize("key", TERMS)
def test_without_its_term_every_method_is_kd_to_the_bit(toy: Any, key: str) -> None:
    ends = []
    for name, options in ((key, OFF[key]), ("kd", KD())):
        student = toy.player(toy.net(dropout=0.5), augment=parse("shifting(0.5)"))
        toy.fit(toy.phases(name, student, toy.teacher(), options=options))
        ends.append(toy.state(student.net))
    assert toy.equal(*ends)


@pytest.mark.parametrize("key", TERMS)
def test_features_are_learned(toy: Any, key: str) -> None:
    student, teacher = toy.player(sees="acc@25Hz"), toy.teacher()
    toy.fit(toy.phases("ce", teacher, epochs=3))
    history = toy.fit(toy.phases(key, student, teacher, epochs=8))
    for term in TERMS[key]:
        assert history[-1]["terms"][term] < 0.7 * history[0]["terms"][term]


@pytest.mark.parametrize("key", ["pkt", "rkd"])
def test_embeddings_come_from_the_bank(toy: Any, key: str) -> None:
    """Answers of all windows in one draw, instead of those of every batch."""
    asked = []
    teacher = toy.teacher()
    teacher.net.head.register_forward_hook(lambda *_: asked.append(1))
    toy.fit(toy.phases(key, toy.player(), teacher, epochs=5))
    assert len(asked) == 2, "the dry run, and one chunk of 63 windows"
