r"""
Streams: chunks in any order
============================

Passes chunks of 50 rows of three blobs in five dimensions to `partial_fit`, shuffled or one cluster
after another, and prints the adjusted Rand index after some passes, for several numbers of rows
that are remembered, beside scikit-learn's MiniBatchKMeans after as many passes. Labels are used for
scoring only.

::

    python examples/benchmarks/streams.py --seeds 4
"""

import argparse
from functools import partial

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering, _fit
from skgmvae._fit import stream

CHUNK = 50
AFTER = (1, 5, 10, 20)  # passes


def curve(model, X, y):
    """Return the index after each number of passes in `AFTER`."""
    scores = []
    for n_passes in range(1, max(AFTER) + 1):
        for start in range(0, len(X), CHUNK):
            model.partial_fit(X[start : start + CHUNK])
        if n_passes in AFTER:
            scores.append(adjusted_rand_score(y, model.predict(X)))
    return scores


def remembering(n_rows, seed):
    """Return a clusterer, after which `partial_fit` remembers so many rows."""
    _fit.partial_fit = partial(stream.partial_fit, rule=stream.StreamRule(n_rows))
    return GMVAEClustering(3, random_state=seed)


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--seeds", type=int, default=4, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--remembered", nargs="+", type=int, default=[0, 200, 2000])
    options = parser.parse_args()
    print(f"{'':34}" + "".join(f"{f'after {n}':>22}" for n in AFTER))
    for order in ("shuffled", "by cluster"):
        models = {
            f"GMVAE, {n} rows remembered": lambda seed, n=n: remembering(n, seed)
            for n in options.remembered
        }
        models["MiniBatchKMeans"] = lambda seed: MiniBatchKMeans(3, n_init=3, random_state=seed)
        for name, make in models.items():
            curves = []
            for seed in range(options.seeds):
                X, y = make_blobs(600, 5, centers=3, random_state=seed)
                rows = np.argsort(y, kind="stable") if order == "by cluster" else np.arange(600)
                curves.append(curve(make(seed), X[rows], y[rows]))
            cells = [
                f"{mean:.2f} +- {std:.2f} ({worst:.2f})" for mean, std, worst in zip(
                    np.mean(curves, 0), np.std(curves, 0), np.min(curves, 0), strict=True)
            ]
            print(f"{f'{order}: {name}':34}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
