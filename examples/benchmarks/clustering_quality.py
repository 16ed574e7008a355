r"""
Clustering quality on real data, beside scikit-learn's clusterers
=================================================================

Fits each model to the training rows, scores it on the test rows, and prints a table with the mean,
the standard deviation and the worst over seeds, the seconds of a fit by the CPU and by the clock,
its memory at the peak, and the rows per second of `predict`. Labels are used for scoring only.
Other clusterers get the columns as they are, and once more after a `StandardScaler`; those that
cannot predict give a test row the cluster of the nearest training row. The line "start" is the
initial partition alone.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/clustering_quality.py \
        --data mnist usps pendigits --seeds 3 --models GMVAE KMeans

`SKGMVAE_DATA` holds ``mnist.npz`` and the like with ``x_train, y_train, x_test, y_test``, or with
``x, y`` only, which are then fitted and scored on the same rows. The data sets that scikit-learn
ships (digits, iris, wine, breast_cancer) need no folder.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import sklearn.datasets
from _peers import (
    GMVAE,
    MOST_COLUMNS,
    PEERS,
    START,
    column_title,
    columns_of,
    installed_peers,
    labels_of,
    make_clusterer,
    obstacle,
    run,
    run_peer,
    start_of,
)
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skgmvae import GMVAEClustering
from skgmvae.metrics import clustering_accuracy, max_probability_accuracy

EMBEDDED = ("digits", "iris", "wine", "breast_cancer")
SCORES = ("hungarian", "max_prob", "nmi", "ari")
METRICS = (*SCORES, "cpu_s", "fit_s", "peak_mib", "rows_per_s")

# Parameters that differ from the defaults, by data set; the others are fitted at the defaults.
IMAGES = {
    "likelihood": "bernoulli", "latent_dim": 16, "style_dim": 16,
}
SETTINGS = {"mnist": IMAGES, "fashion_mnist": IMAGES, "usps": IMAGES}


def load(name):
    """Return X, y to fit and X, y to score as flat rows, and the shape of an image or None."""
    if name in EMBEDDED:
        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        return X, y, X, y, None
    folder = os.environ.get("SKGMVAE_DATA")
    if folder is None:
        sys.exit(f"Set SKGMVAE_DATA to the folder that holds {name}.npz.")
    with np.load(Path(folder) / f"{name}.npz", allow_pickle=False) as arrays:
        if "indptr" in arrays:
            parts = arrays["data"], arrays["indices"], arrays["indptr"]
            X, y = csr_array(parts, shape=tuple(arrays["shape"])).toarray(), arrays["y"]
            return X, y, X, y, None
        if "x" in arrays:
            X, y = arrays["x"], arrays["y"].astype(int)
            split = slice(0, 8000) if name.startswith("svhn") else slice(None)
            rest = slice(8000, None) if name.startswith("svhn") else slice(None)
            parts = X[split], y[split], X[rest], y[rest]
        else:
            parts = tuple(arrays[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    X, y, X_test, y_test = parts
    image_shape = X.shape[1:] if X.ndim > 2 else None
    return X.reshape(len(X), -1), y, X_test.reshape(len(X_test), -1), y_test, image_shape


def make_model(name, n_clusters, n_features, seed, data, image_shape, options):
    """Return the model: ours, or another clusterer without a scaler."""
    if name != GMVAE:
        if name == "GaussianMixture" and n_features > MOST_COLUMNS:
            name = "DiagonalMixture"
        return make_clusterer(name, n_clusters, n_features, seed)
    settings = dict(SETTINGS.get(data, {}))
    if options.perturbation != "adversarial":
        settings.update(
            perturbation=options.perturbation, image_shape=image_shape, networks="conv"
        )
    settings.update(json.loads(options.params))
    return GMVAEClustering(n_clusters, random_state=seed, **settings)


def scores_of(model, X):
    """Return scores by which the rows of each cluster can be ranked, or None."""
    for method in ("decision_function", "predict_proba"):
        if hasattr(model, method):
            return getattr(model, method)(X)
    return -model.transform(X) if hasattr(model, "transform") else None  # distances to centers


def measure(fitted, X, X_test, y_test):
    """Predict and score."""
    start = time.perf_counter()
    labels = labels_of(fitted, X, X_test)
    seconds = time.perf_counter() - start
    scores = scores_of(fitted.model, X_test)
    return (
        clustering_accuracy(y_test, labels),
        np.nan if scores is None else max_probability_accuracy(y_test, scores),
        normalized_mutual_info_score(y_test, labels),
        adjusted_rand_score(y_test, labels),
        fitted.cpu_seconds, fitted.wall_seconds, fitted.mebibytes,
        len(X_test) / seconds if hasattr(fitted.model, "predict") else np.nan,
    )


def print_scores(title, results):
    """Print the mean, the standard deviation and the worst of all seeds."""
    if len(results) > 1:
        for seed, values in results.items():
            line = "  ".join(
                f"{metric} {value:.4g}" for metric, value in zip(METRICS, values, strict=True)
            )
            print(f"    {title} seed {seed}: {line}")
    table = np.array(list(results.values()))
    cells = [
        "-" if np.isnan(mean) else
        f"{mean:.3f} +- {std:.3f} ({worst:.3f})" if metric in SCORES else f"{mean:.1f}"
        for metric, mean, std, worst in zip(
            METRICS, table.mean(0), table.std(0), table.min(0), strict=True)
    ]
    print(f"{title:24}" + "".join(
        f"{cell:>{24 if metric in SCORES else 12}}"
        for metric, cell in zip(METRICS, cells, strict=True)), flush=True)


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--data", nargs="+", default=list(EMBEDDED))
    parser.add_argument(
        "--models", nargs="+", default=[GMVAE, *installed_peers()], choices=[GMVAE, *PEERS]
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--perturbation", default="adversarial", choices=["adversarial", "affine", "both"]
    )
    parser.add_argument("--n-clusters", type=int, help="default: the number of classes")
    parser.add_argument("--params", default="{}", help="further constructor parameters, as JSON")
    options = parser.parse_args()

    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(f"seeds {list(seeds)}, perturbation {options.perturbation}, params {options.params}")
    for data in options.data:
        X, _, X_test, y_test, image_shape = load(data)
        n_clusters = options.n_clusters or len(np.unique(y_test))
        print(f"\n{data}: {X.shape[0]} rows x {X.shape[1]}, {len(X_test)} scored, K = {n_clusters}")
        print(f"{'':24}" + "".join(
            f"{metric:>{24 if metric in SCORES else 12}}" for metric in METRICS))
        starts = {}
        for name, scaled in columns_of(options.models):
            title, results = column_title(name, scaled), {}
            # other estimators get bytes divided by 255, which ours divides itself
            unit = 255.0 if X.dtype == np.uint8 and name not in (GMVAE, START) else 1
            rows = X if unit == 1 else X / unit
            test = rows if X_test is X else X_test / unit if unit != 1 else X_test
            reason = obstacle(name, *X.shape)
            if reason:
                print(f"{title:24}  {reason}")
                continue
            for seed in seeds:
                if name == START:
                    fitted = starts[seed]
                elif name == GMVAE:
                    model = make_model(
                        name, n_clusters, X.shape[1], seed, data, image_shape, options
                    )
                    fitted = run(model, rows)
                    starts[seed] = start_of(fitted)
                else:
                    fitted = run_peer(name, rows, n_clusters, seed, scaled=scaled)
                if fitted is not None:
                    results[seed] = measure(fitted, rows, test, y_test)
            if results:
                print_scores(title, results)
            else:
                print(f"{title:24}  none")


if __name__ == "__main__":
    main()
