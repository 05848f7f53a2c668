"""Linear probe: what a logistic regression can read from a model's features with a few labels.

    subject -> ... -> assemble -> evaluate -> [probe] -> verdict

Labels come from the probe split, the strength of the penalty from the calibration split, figures from the test split.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from seeds.data import Examples

LABELS_PER_CLASS = 20
PENALTIES = (0.01, 0.1, 1.0, 10.0)  # C of the logistic regression, on standardised features


def probe_scores(found: Mapping[str, np.ndarray], splits: Mapping[str, Examples], run: int) -> np.ndarray:
    """Which test examples a probe gets right: (examples,) 0 or 1.

    Args:
        found: features (examples, features) of the splits probe, calibration and test.
        splits: the examples with their labels.
        run: number of the run; each draws its own labelled examples, the same ones for every model.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    labels = {name: splits[name].labels.numpy() for name in found}  # pyright: ignore[reportOptionalMemberAccess]
    rng = np.random.Generator(np.random.Philox(key=run))
    rows = np.concatenate([rng.permutation(np.flatnonzero(labels["probe"] == c))[:LABELS_PER_CLASS] for c in np.unique(labels["probe"])])
    scaler = StandardScaler().fit(found["probe"][rows])
    ready = {name: scaler.transform(values) for name, values in found.items()}
    best, best_score = None, -1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for penalty in PENALTIES:
            model = LogisticRegression(C=penalty, max_iter=200).fit(ready["probe"][rows], labels["probe"][rows])
            score = model.score(ready["calibration"], labels["calibration"])
            if score > best_score:
                best, best_score = model, score
    assert best is not None
    return (best.predict(ready["test"]) == labels["test"]).astype(np.float64)
