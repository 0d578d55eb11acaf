"""Augmentation in a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted

from harkd.augment.arrays import ArrayAugment
from harkd.datasets import Sensor
from harkd.datasets.arrays import Layout
from harkd.errors import UsageError


class AugmentedClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that is fitted on windows and on augmented copies of them, and predicts as it is.

    Args:
        estimator: any scikit-learn classifier or pipeline over arrays (window, channel, time), or as `layout` says.
        strategy: the text of a strategy. Where it mixes windows, each copy comes once per class, weighed by its share: the
            estimator then has to take `sample_weight`.
        sensors: what the channels are.
        copies: augmented copies of each window; the windows themselves are always there.
        layout: "btc" for (window, time, channel).
        seed: of the augmentation.
    """

    def __init__(
        self,
        estimator: Any,
        strategy: str,
        sensors: Sequence[Sensor],
        *,
        copies: int = 4,
        layout: Layout = "bct",
        seed: int = 0,
    ) -> None:
        self.estimator, self.strategy, self.sensors = estimator, strategy, sensors
        self.copies, self.layout, self.seed = copies, layout, seed

    def fit(self, X: ArrayLike, y: ArrayLike, subjects: Sequence[Any] | None = None) -> AugmentedClassifier:
        """Fit a copy of the estimator.

        Raises:
            UsageError: the strategy mixes labels and the estimator takes no weights.
        """
        given, labels = np.asarray(X), np.asarray(y)
        augment = ArrayAugment(
            self.strategy, given, labels, sensors=self.sensors, subjects=subjects, layout=self.layout, seed=self.seed
        )
        index = torch.arange(len(given))
        rows, classes, weights = [given.astype(np.float32)], [labels], [np.ones(len(given))]
        for draw in range(self.copies):
            windows, target = augment(index, draw)
            assert target is not None
            if target.dim() == 1:
                rows.append(windows.numpy())
                classes.append(labels)
                weights.append(np.ones(len(given)))
                continue
            window, label = np.nonzero(target.numpy())
            rows.append(windows.numpy()[window])
            classes.append(augment.classes[label])
            weights.append(target.numpy()[window, label].astype(np.float64))
        self.estimator_ = clone(self.estimator)
        fitted = np.concatenate(rows), np.concatenate(classes)
        if augment.augmenter.softens:
            self._fit_weighed(*fitted, np.concatenate(weights))
        else:
            self.estimator_.fit(*fitted)
        self.classes_ = augment.classes
        return self

    def _fit_weighed(self, rows: NDArray[Any], classes: NDArray[Any], weights: NDArray[np.float64]) -> None:
        steps = getattr(self.estimator_, "steps", None)
        name = f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
        try:
            self.estimator_.fit(rows, classes, **{name: weights})
        except TypeError:
            raise UsageError(
                f"{self.strategy} mixes labels, which needs an estimator that takes sample_weight; "
                f"{type(self.estimator).__name__} does not: take the ops after '|' out"
            ) from None

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(window,) the classes of clean windows."""
        check_is_fitted(self)
        predicted: NDArray[Any] = self.estimator_.predict(np.asarray(X))
        return predicted

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(window, class) probabilities, if the estimator has them."""
        check_is_fitted(self)
        told: NDArray[np.float64] = self.estimator_.predict_proba(np.asarray(X))
        return told
