"""The Jensen-Shannon term of AugMix."""

from __future__ import annotations

import pytest
import torch
from scipy.spatial.distance import jensenshannon

from harkd.augment import parse
from harkd.consistency import Consistency, consistent
from harkd.errors import UsageError
from harkd.losses import jensen_shannon


def test_of_two_answers_it_is_scipys():
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p, q = logits.softmax(-1).numpy()
    torch.testing.assert_close(jensen_shannon(logits), torch.from_numpy(jensenshannon(p, q, axis=1) ** 2))


def test_of_equal_answers_it_is_nothing_and_of_sure_and_different_ones_log_3():
    same = torch.randn(1, 5, 4).expand(3, -1, -1)
    torch.testing.assert_close(jensen_shannon(same), torch.zeros(5), atol=1e-6, rtol=0)
    sure = 1e4 * torch.eye(3)[:, None]
    torch.testing.assert_close(jensen_shannon(sure), torch.tensor([3.0]).log())


def phases(toy, text, weight=12.0, **more):
    return consistent(toy.phases("kd", toy.player(augment=parse(text)), toy.teacher(), **more), weight)


def test_without_augmentation_the_answers_are_the_same_and_the_term_is_0(toy):
    history = toy.fit(phases(toy, "none", epochs=1))
    assert history[0]["terms"]["js"] == pytest.approx(0, abs=1e-7)


def test_with_augmentation_it_is_something_and_falls_when_it_counts(toy):
    free = toy.fit(phases(toy, "aug_mix(jitter(1)+scaling(0.5)+rotate(90), m=30)", 1e-9, epochs=8))
    held = toy.fit(phases(toy, "aug_mix(jitter(1)+scaling(0.5)+rotate(90), m=30)", 12.0, epochs=8))
    assert 0 < held[-1]["terms"]["js"] < free[-1]["terms"]["js"]


def test_three_answers_are_compared(toy):
    seen = {}

    class Spy(Consistency):
        def forward(self, context):
            seen.update(context.outputs)
            return super().forward(context)

    (phase,) = phases(toy, "jitter(0.5)", epochs=1)
    phase.objective.objectives[1] = Spy()
    toy.fit([phase])
    assert list(seen) == ["student", "teacher", "student clean", "student again"]
    answers = [seen[name].logits for name in ("student", "student clean", "student again")]
    assert all(not torch.equal(a, b) for a, b in zip(answers, [*answers[1:], answers[0]], strict=True))


def test_weight_0_changes_nothing(toy):
    given = toy.phases("kd", toy.player(), toy.teacher())
    assert consistent(given, 0) == given


def test_mixtures_cannot_be_compared(toy):
    with pytest.raises(UsageError, match=r"mixtures are others: take the ops after '|' out"):
        phases(toy, "jitter(0.1)|mixup(0.2)")
