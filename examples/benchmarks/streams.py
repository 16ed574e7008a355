r"""
Streams: chunks in any order
============================

Without `--data`, passes chunks of 50 rows of three blobs in five dimensions to `partial_fit`,
shuffled or one cluster after another, and prints the adjusted Rand index after some passes, for
several numbers of rows that are remembered, beside scikit-learn's MiniBatchKMeans after as many
passes.

With `--data`, passes the training rows of real data once, shuffled, in chunks of several sizes, and
prints the accuracy on the test rows beside that of `fit` with ``init="random"`` and a constant
learning rate, for as many steps. A pass over a chunk takes remembered rows too, so that it has more
steps than the chunk alone: both take the same number here. With chunks of one row, the first call
gets 500 rows, and the stream ends after `--single` more.

Labels are used for scoring only.

::

    python examples/benchmarks/streams.py --seeds 4
    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/streams.py --data pendigits mnist --seeds 3

`SKGMVAE_DATA` is described in ``clustering_quality.py``.
"""

import argparse
import math
import time
import warnings
from functools import partial

import numpy as np
from clustering_quality import SETTINGS, load
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering, _fit
from skgmvae._fit import stream
from skgmvae.metrics import clustering_accuracy

CHUNK = 50
AFTER = (1, 5, 10, 20)  # passes
FIRST = 500  # rows of the first call, where later ones have one


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
    _fit.partial_fit = partial(stream.partial_fit, rule=stream.STREAM._replace(capacity=n_rows))
    return GMVAEClustering(3, random_state=seed)


def cell(scores):
    """Return the mean, the standard deviation and the worst of some scores, as text."""
    return f"{np.mean(scores):.3f} +- {np.std(scores):.3f} ({np.min(scores):.3f})"


def blobs(options):
    """Print the table of blobs."""
    print(f"{'':34}" + "".join(f"{f'after {n}':>24}" for n in AFTER))
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
            cells = map(cell, zip(*curves, strict=True))
            print(f"{f'{order}: {name}':34}" + "".join(f"{c:>24}" for c in cells), flush=True)


def one_pass(model, X, size, n_rows):
    """Pass so many rows, in chunks of one size, and return the number of steps and of calls."""
    first = FIRST if size == 1 else size
    starts = [0, *range(first, n_rows, size)]
    for start, end in zip(starts, [*starts[1:], n_rows], strict=True):
        model.partial_fit(X[start:end])
    return model._state.n_steps, len(starts)


def real(options, name):
    """Print the table of one data set."""
    X, y, X_test, y_test, _ = load(name)
    n_clusters, n_all = len(np.unique(y)), min(len(X), options.rows)
    for size in options.chunks:
        n_rows = min(n_all, FIRST + options.single) if size == 1 else n_all
        found = {}
        for seed in range(options.seeds):
            rows = np.random.default_rng(seed).permutation(len(X))[:n_rows]
            make = partial(
                GMVAEClustering, n_clusters, random_state=seed, **SETTINGS.get(name, {})
            )
            began = time.perf_counter()
            model = make()
            n_steps, n_calls = one_pass(model, X[rows], size, n_rows)
            seconds = time.perf_counter() - began
            score = clustering_accuracy(y_test, model.predict(X_test))
            found.setdefault("partial_fit", []).append((score, seconds, n_steps, n_calls))
            n_epochs = max(1, round(n_steps / math.ceil(n_rows / 256)))
            for rate in options.learning_rates:
                began = time.perf_counter()
                model = make(init="random", learning_rate=rate, max_iter=n_epochs).fit(X[rows])
                seconds = time.perf_counter() - began
                score = clustering_accuracy(y_test, model.predict(X_test))
                found.setdefault(f"fit, {rate}", []).append(
                    (score, seconds, model._state.n_steps, n_epochs)
                )
        for kind, results in found.items():
            scores, seconds, n_steps, times = np.array(results).T
            per_call = f", {1e3 * np.mean(seconds / times):.0f} ms a call" * (kind == "partial_fit")
            print(
                f"{name}, {n_rows} rows, chunks of {size}: {kind:13} {cell(scores)}"
                f" {' '.join(f'{score:.3f}' for score in scores)}, {n_steps[0]:.0f} steps, "
                f"{np.mean(seconds):.1f} s{per_call}", flush=True,
            )


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--seeds", type=int, default=4, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--remembered", nargs="+", type=int, default=[0, 200, 2000])
    parser.add_argument("--data", nargs="+", default=[], help="pendigits, mnist, ...")
    parser.add_argument("--chunks", nargs="+", type=int, default=[500, 100], help="rows")
    parser.add_argument("--rows", type=int, default=60_000, help="of each data set, at the most")
    parser.add_argument("--learning-rates", nargs="+", default=["cosine", "constant"])
    parser.add_argument("--single", type=int, default=500, help="rows, in chunks of one")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.data:
        real(options, name)
    if not options.data:
        blobs(options)


if __name__ == "__main__":
    main()
