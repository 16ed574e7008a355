r"""
Missing values, beside imputation and other clusterers
======================================================

Removes a share of all entries at random, fits the model to what is left, and prints the adjusted
Rand index, a mean over seeds, beside that of `KMeans` and `GaussianMixture` after `SimpleImputer`
and `KNNImputer`, on columns as they are and after a `StandardScaler`. The error of `reconstruct`
where entries were removed, and of both imputers, is a root mean square in standard deviations of
the columns. Labels are used for scoring only.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/missing_values.py \
        --data iris wine breast_cancer digits --seeds 3

`SKGMVAE_DATA` is needed for data sets that scikit-learn doesn't ship, see `clustering_quality.py`.
"""

import argparse
import warnings
from itertools import product

import numpy as np
from _peers import make_clusterer
from clustering_quality import load
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering

IMPUTERS = {
    "mean": SimpleImputer(keep_empty_features=True), "knn": KNNImputer(keep_empty_features=True),
}
PEERS = "KMeans", "GaussianMixture"


def without(X, share, seed):
    """Return X without this share of its entries, but for one entry of each row and column."""
    rng = np.random.default_rng(seed)
    removed = rng.random(X.shape) < share
    removed[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    removed[rng.integers(len(X), size=X.shape[1]), np.arange(X.shape[1])] = False
    return np.where(removed, np.nan, X)


def error_of(found, X, is_missing):
    """Return the root mean square error where entries are missing, in standard deviations.

    Those of the columns, but for columns that vary by less than a tenth of the others.
    """
    deviation = X.std(0)
    deviation = np.maximum(deviation, 0.1 * np.median(deviation[deviation > 0]))
    return float(np.sqrt((((found - X) / deviation)[is_missing] ** 2).mean()))


def results_of(X, y, share, seed, n_neighbors_rows):
    """Return what is measured, by name."""
    n_clusters = len(np.unique(y))
    Q = without(X, share, seed) if share else X
    is_missing = np.isnan(Q)
    model = GMVAEClustering(n_clusters, random_state=seed).fit(Q)
    found = {
        "GMVAE": adjusted_rand_score(y, model.labels_),
        "start": adjusted_rand_score(y, model.init_labels_),
    }
    if share:
        found["error GMVAE"] = error_of(model.reconstruct(Q), X, is_missing)
    for name, imputer in IMPUTERS.items():
        if name == "knn" and len(X) > n_neighbors_rows:
            continue
        filled = imputer.fit_transform(Q) if share else X
        if share:
            found[f"error {name}"] = error_of(filled, X, is_missing)
        for peer, scaled in product(PEERS, (False, True)):
            if peer == "GaussianMixture" and X.shape[1] > 100:
                continue
            values = StandardScaler().fit_transform(filled) if scaled else filled
            clusterer = make_clusterer(peer, n_clusters, X.shape[1], seed)
            title = f"{name} {peer}{' scaled' * scaled}"
            found[title] = adjusted_rand_score(y, clusterer.fit_predict(values))
    return found


def main():
    """Print a line for each data set and share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument(
        "--data", nargs="+", default=["iris", "wine", "breast_cancer", "digits"]
    )
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0, 0.1, 0.3, 0.5])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    parser.add_argument(
        "--knn-rows", type=int, default=5000, help="rows up to which KNNImputer is run"
    )
    options = parser.parse_args()
    print(f"{'data':16} missing  GMVAE (worst)  start  error  knn's  mean's  best peer")
    for name in options.data:
        X, y, *_ = load(name)
        X = np.asarray(X, dtype=np.float64)
        for share in options.shares:
            with warnings.catch_warnings(action="ignore"):
                runs = [
                    results_of(X, y, share, seed, options.knn_rows)
                    for seed in range(options.seeds)
                ]
            mean = {title: float(np.mean([run[title] for run in runs])) for title in runs[0]}
            peers = {
                title: value for title, value in mean.items()
                if any(peer in title for peer in PEERS)
            }
            best = max(peers, key=peers.get)
            errors = "  ".join(
                f"{mean.get(f'error {title}', np.nan):5.2f}" for title in ("GMVAE", "knn", "mean")
            )
            worst = min(run["GMVAE"] for run in runs)
            print(
                f"{name:16} {share:7.0%}  {mean['GMVAE']:.3f} ({worst:.3f})  {mean['start']:.3f}  "
                f"{errors}  {best} {peers[best]:.3f}", flush=True,
            )


if __name__ == "__main__":
    main()
