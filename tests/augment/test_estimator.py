"""Augmentation in scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from harkd.augment.arrays import ArrayAugment
from harkd.augment.estimator import AugmentedClassifier
from harkd.datasets import Sensor
from harkd.errors import UsageError

SENSORS = [Sensor("acc", "acc", "g", 50.0)]


def features(x):
    return np.concatenate([x.mean(-1), x.std(-1)], 1)


FEATURES = FunctionTransformer(features)
RNG = np.random.default_rng(0)
Y = np.array(["rest", "walk", "run"] * 30)
X = RNG.normal(size=(90, 3, 32)) * np.array([0.2, 0.6, 1.2] * 30)[:, None, None] + [[[0.0], [0.0], [1.0]]]


class Recorder(LogisticRegression):
    """Remembers what it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return self


def test_it_is_fitted_on_the_windows_and_their_copies():
    model = AugmentedClassifier(Recorder(), "rotate(15)+jitter(0.1)", SENSORS, copies=2, seed=5).fit(X, Y)
    seen, labels, weights = model.estimator_.seen_
    augment = ArrayAugment("rotate(15)+jitter(0.1)", X, Y, sensors=SENSORS, seed=5)
    np.testing.assert_array_equal(seen[:90], X.astype(np.float32))
    for draw in (0, 1):
        np.testing.assert_array_equal(seen[90 * (draw + 1) :][:90], augment(np.arange(90), draw)[0])
    np.testing.assert_array_equal(labels, np.tile(Y, 3))
    assert weights is None


def test_mixed_windows_come_once_per_class_by_their_shares():
    model = AugmentedClassifier(Recorder(), "none|mixup(1, partner=other_class)", SENSORS, copies=1).fit(X, Y)
    seen, labels, weights = model.estimator_.seen_
    assert len(seen) == 90 + 180
    assert weights[:90].tolist() == [1.0] * 90
    np.testing.assert_allclose(weights[90:].reshape(90, 2).sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(seen[90::2], seen[91::2])
    assert (labels[90::2] != labels[91::2]).all()


def test_it_predicts_clean_windows_as_its_estimator_does():
    model = AugmentedClassifier(
        make_pipeline(FEATURES, RandomForestClassifier(20, random_state=0)), "jeon_mix1", SENSORS, copies=2
    )
    model.fit(X, Y)
    assert model.classes_.tolist() == ["rest", "run", "walk"]
    np.testing.assert_array_equal(model.predict(X), model.estimator_.predict(X))
    np.testing.assert_array_equal(model.predict_proba(X), model.estimator_.predict_proba(X))
    assert model.score(X, Y) > 0.9


def test_it_stands_in_a_search_over_strategies():
    model = AugmentedClassifier(make_pipeline(FEATURES, LogisticRegression(max_iter=1000)), "none", SENSORS, copies=1)
    search = GridSearchCV(model, {"strategy": ["none", "jitter(0.1)"], "copies": [1, 2]}, cv=3).fit(X, Y)
    assert search.best_score_ > 0.8
    assert clone(model).get_params()["strategy"] == "none"


def test_weights_reach_the_last_step_of_a_pipeline():
    model = AugmentedClassifier(make_pipeline(FEATURES, LogisticRegression(max_iter=1000)), "none|mixup(0.2)", SENSORS)
    assert model.fit(X, Y).score(X, Y) > 0.8


def test_an_estimator_without_weights_cannot_take_mixed_labels():
    with pytest.raises(UsageError, match=r"none\|mixup\(0.2\) mixes labels.*KNeighborsClassifier does not: take the ops after"):
        AugmentedClassifier(KNeighborsClassifier(), "none|mixup(0.2)", SENSORS).fit(X.reshape(90, 3, 32), Y)
