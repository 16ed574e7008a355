r"""
Uneven classes
==============

The regularizer has a term on the sizes of clusters: does it push them to be even? This script draws
a subset of the rows in which class sizes fall geometrically and the largest class is `ratio` times
the smallest; the order of the classes is drawn for each seed. It fits and scores on these rows, and
prints the adjusted Rand index: mean, standard deviation and worst over seeds. Labels are used to
draw the subset and to score.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/uneven_classes.py \
        --data blobs pendigits mnist --ratios 1 2 5 10 20 --seeds 3
"""

import argparse
import warnings

import numpy as np
from clustering_quality import load, make_model
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

MODELS = ("GMVAE", "KMeans", "GaussianMixture")


def rows_of(data, seed):
    """Return X, y with all rows of each class."""
    if data == "blobs":
        return make_blobs(5000, n_features=5, centers=5, cluster_std=1.5, random_state=seed)
    X, y, *_ = load(data)
    return X, y


def thinned(y, ratio, largest, seed):
    """Return the indices of rows whose classes are of sizes `largest` ... `largest` / `ratio`."""
    generator = np.random.default_rng(seed)
    classes = generator.permutation(np.unique(y))
    sizes = np.geomspace(largest, largest / ratio, len(classes)).round().astype(int)
    return np.concatenate([
        generator.permutation(np.flatnonzero(y == label))[:size]
        for label, size in zip(classes, sizes, strict=True)
    ])


def scores_of(model, ratio, options, data):
    """Return the adjusted Rand index of each seed."""
    scores = []
    for seed in range(options.seeds):
        X, y = rows_of(data, seed)
        kept = thinned(y, ratio, min(options.largest, np.bincount(y).min()), seed)
        X, y = X[kept], y[kept]
        clusterer = make_model(model, len(np.unique(y)), X.shape[1], seed, data, None, options)
        if X.dtype == np.uint8 and model != "GMVAE":
            X = X / 255.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            scores.append(adjusted_rand_score(y, clusterer.fit_predict(X)))
    return np.array(scores)


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--data", nargs="+", default=["blobs"])
    parser.add_argument("--ratios", type=float, nargs="+", default=[1, 2, 5, 10, 20])
    parser.add_argument("--largest", type=int, default=1000, help="rows of the largest class")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    parser.set_defaults(perturbation="adversarial", params="{}")
    options = parser.parse_args()
    print(f"largest class {options.largest} rows at most, seeds {options.seeds}, ARI")
    print(f"{'':20}" + "".join(f"{model:>22}" for model in MODELS))
    for data in options.data:
        for ratio in options.ratios:
            print(f"{data:12}1:{ratio:<6g}", end="", flush=True)
            for model in MODELS:
                scores = scores_of(model, ratio, options, data)
                cell = f"{scores.mean():.3f} +- {scores.std():.3f} ({scores.min():.3f})"
                print(f"{cell:>22}", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
