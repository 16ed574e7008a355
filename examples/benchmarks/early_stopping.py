r"""
Early stopping
==============

Measures what early stopping does to the clusters, the bound of fresh rows, and the time. A fifth of
the rows is fresh: no fit sees it. Fits are of the default length and six times as long (four times
for digits), without and with ``early_stopping=True, n_iter_no_change=20``. Prints for each data set
and length the means over seeds: the adjusted Rand index of the rows that are fitted, the bound of
the fresh rows in nats, epochs, and seconds of a processor. Labels are used for scoring only.

::

    python examples/benchmarks/early_stopping.py --seeds 3
"""

import argparse
import time
import warnings

import numpy as np
from sklearn import datasets
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split

from skgmvae import GMVAEClustering

#: Epochs of the longer fits.
LONG = {"iris": 486, "wine": 504, "breast_cancer": 420, "digits": 136}


def measured(name, seed, **parameters):
    """Return the adjusted Rand index, the bound of fresh rows, epochs and seconds of a fit."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    X, fresh, y, _ = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=y)
    begin = time.process_time()
    clusterer = GMVAEClustering(len(np.unique(y)), random_state=seed, **parameters).fit(X)
    seconds = time.process_time() - begin
    score = clusterer.score(fresh)
    return adjusted_rand_score(y, clusterer.labels_), score, clusterer.n_iter_, seconds


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--data", nargs="+", default=list(LONG), choices=LONG)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'data':14}{'max_iter':>9}{'early':>7}{'ARI':>7}{'bound':>9}{'epochs':>8}{'s':>7}")
    for name in options.data:
        for max_iter in ("auto", LONG[name]):
            for early in ({}, {"early_stopping": True, "n_iter_no_change": 20}):
                found = [
                    measured(name, seed, max_iter=max_iter, **early)
                    for seed in range(options.seeds)
                ]
                ari, bound, epochs, seconds = np.mean(found, 0)
                print(
                    f"{name:14}{max_iter:>9}{'yes' if early else 'no':>7}{ari:7.3f}{bound:9.2f}"
                    f"{epochs:8.0f}{seconds:7.1f}", flush=True,
                )


if __name__ == "__main__":
    main()
