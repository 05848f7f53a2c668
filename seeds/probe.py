"""Linear probe: what a logistic regression can read from a model's features with a few labels.

    subject -> ... -> assemble -> evaluate -> [probe] -> verdict

Labels come from the probe split, the strength of the penalty from the calibration split, figures from the test split.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from seeds.data import Examples

PENALTIES = (0.01, 0.1, 1.0, 10.0)  # C of the logistic regression, on standardised features


def probe_scores(found: Mapping[str, np.ndarray], splits: Mapping[str, Examples], per_class: int, run: int) -> np.ndarray:
    """Which test examples a probe gets right: (examples,) 0 or 1.

    Runs draw from one pool of 30 labelled examples a class; the luck of that pool is not in any interval.

    Args:
        found: features (examples, features) of the splits probe, calibration and test.
        splits: the examples with their labels.
        per_class: labels that the probe may use.
        run: number of the run; each draws its own labelled examples, the same ones for every model.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = {name: np.asarray(splits[name].labels) for name in found}
    rows = _drawn(labels["probe"], per_class, run)
    labels["probe"], found = labels["probe"][rows], {**found, "probe": found["probe"][rows]}
    # a penalised linear model lies in the span of its training rows, so rotating into that span changes nothing but the time
    rotation = make_pipeline(StandardScaler(), PCA(svd_solver="full")).fit(found["probe"])
    ready = {name: rotation.transform(values) for name, values in found.items()}
    best, best_score = None, -1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in PENALTIES:
            model = LogisticRegression(C=penalty, max_iter=200, tol=1e-3).fit(ready["probe"], labels["probe"])
            score = model.score(ready["calibration"], labels["calibration"])
            if score > best_score:
                best, best_score = model, score
    assert best is not None
    return (best.predict(ready["test"]) == labels["test"]).astype(np.float64)


def _drawn(labels: np.ndarray, per_class: int, run: int) -> np.ndarray:
    """Rows of `per_class` random examples of each class."""
    rng = np.random.Generator(np.random.Philox(key=run))
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.concatenate([rng.permutation(mine)[:per_class] for mine in of_class])
