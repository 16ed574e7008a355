r"""
Clustering quality on real data, beside scikit-learn's clusterers
=================================================================

Fits each model to the training rows, scores it on the test rows, and prints a table with the mean,
the standard deviation and the worst over seeds. Labels are used for scoring only.

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
import warnings
from pathlib import Path

import numpy as np
import sklearn.datasets
from scipy.sparse import csr_array
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from skgmvae import GMVAEClustering
from skgmvae.metrics import clustering_accuracy, max_probability_accuracy

EMBEDDED = ("digits", "iris", "wine", "breast_cancer")
METRICS = ("hungarian", "max_prob", "nmi", "ari", "fit_s", "rows_per_s")

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
    """Return the model."""
    covariance = "diag" if n_features > 100 else "full"
    mixture = {"covariance_type": covariance, "reg_covar": 1e-3, "random_state": seed}
    if name == "GMVAE":
        settings = dict(SETTINGS.get(data, {}))
        if options.perturbation != "adversarial":
            settings.update(
                perturbation=options.perturbation, image_shape=image_shape, networks="conv"
            )
        settings.update(json.loads(options.params))
        return GMVAEClustering(n_clusters, random_state=seed, **settings)
    if name == "KMeans":
        return KMeans(n_clusters, n_init=3, random_state=seed)
    if name == "MiniBatchKMeans":
        return MiniBatchKMeans(n_clusters, n_init=3, random_state=seed)
    if name == "GaussianMixture":
        return GaussianMixture(n_clusters, **mixture)
    return BayesianGaussianMixture(n_components=n_clusters, **mixture)


def scores_of(model, X):
    """Return scores by which the rows of each cluster can be ranked."""
    for method in ("decision_function", "predict_proba"):
        if hasattr(model, method):
            return getattr(model, method)(X)
    return -model.transform(X)  # distances to the centers


def measure(model, X, X_test, y_test):
    """Fit, predict and score."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    fitted = time.perf_counter()
    labels = model.predict(X_test)
    predicted = time.perf_counter()
    return (
        clustering_accuracy(y_test, labels),
        max_probability_accuracy(y_test, scores_of(model, X_test)),
        normalized_mutual_info_score(y_test, labels),
        adjusted_rand_score(y_test, labels),
        fitted - start,
        len(X_test) / (predicted - fitted),
    )


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    models = ["GMVAE", "KMeans", "MiniBatchKMeans", "GaussianMixture", "BayesianGaussianMixture"]
    parser.add_argument("--data", nargs="+", default=list(EMBEDDED))
    parser.add_argument("--models", nargs="+", default=models, choices=models)
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
        print(f"{'':24}" + "".join(f"{metric:>22}" for metric in METRICS))
        for name in options.models:
            # scikit-learn's estimators get bytes divided by 255, which ours divides itself
            unit = 255.0 if X.dtype == np.uint8 and name != "GMVAE" else None
            rows, test = (X, X_test) if unit is None else (X / unit, X_test / unit)
            results = []
            for seed in seeds:
                model = make_model(
                    name, n_clusters, X.shape[1], seed, data, image_shape, options
                )
                results.append(measure(model, rows, test, y_test))
                if len(seeds) > 1:
                    values = "  ".join(
                        f"{metric} {value:.4g}"
                        for metric, value in zip(METRICS, results[-1], strict=True)
                    )
                    print(f"    {name} seed {seed}: {values}", flush=True)
            table = np.array(results)
            cells = [
                f"{mean:.3f} +- {std:.3f} ({worst:.3f})" if index < 4 else f"{mean:.1f}"
                for index, (mean, std, worst) in enumerate(
                    zip(table.mean(0), table.std(0), table.min(0), strict=True)
                )
            ]
            print(f"{name:24}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
