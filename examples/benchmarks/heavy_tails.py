r"""
Outliers and heavy tails, by the Gaussian and by Student's t likelihood
=======================================================================

Fits both to one half of tables with outliers, beside `KMeans` and `GaussianMixture` on columns as
they are, after a `StandardScaler` and after a `RobustScaler`, of which the best by the labels is
shown. Prints, as mean, standard deviation and worst over seeds, the adjusted Rand index of the
fitted rows that are no outliers, and the mean log-density of a row of the other half, outliers
included. The tables, each of which is drawn anew for each seed:

- ``clusters``: four Gaussian clusters in five dimensions;
- ``box``: some of its rows are uniform over a box three times as wide as the data;
- ``cells``: some of its entries have Cauchy noise, with the deviation of a cluster as the scale;
- ``t``: the noise in a cluster has a t distribution of so many degrees of freedom;
- iris, wine and breast cancer, as they are and with Cauchy noise in some of the entries, with half
  the deviation of the column as the scale.

Labels are used for scoring only.

::

    python examples/benchmarks/heavy_tails.py --seeds 5
"""

import argparse
import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import FunctionTransformer, RobustScaler, StandardScaler

from skgmvae import GMVAEClustering

N_ROWS, N_FEATURES, N_CLUSTERS = 1000, 5, 4
LIKELIHOODS = "gaussian", "student_t"
SCALERS = {"": FunctionTransformer(), "standard": StandardScaler(), "robust": RobustScaler()}
LOADERS = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer}


def clusters(rng, df=np.inf):
    """Return clusters whose noise has so many degrees of freedom, and their labels."""
    y = rng.integers(N_CLUSTERS, size=N_ROWS)
    centers = rng.normal(0, 2.5, (N_CLUSTERS, N_FEATURES))
    noise = rng.normal(size=(N_ROWS, N_FEATURES))
    if np.isfinite(df):
        noise /= np.sqrt(rng.chisquare(df, noise.shape) / df)
    return centers[y] + noise, y


def with_rows(rng, X, y, share):
    """Replace rows by ones from a box three times as wide as the data, of no cluster (-1)."""
    is_out = rng.random(len(X)) < share
    middle, width = (X.max(0) + X.min(0)) / 2, np.ptp(X, axis=0)
    box = middle + 3 * width * (rng.random(X.shape) - 0.5)
    return np.where(is_out[:, None], box, X), np.where(is_out, -1, y)


def with_cells(rng, X, share, scale):
    """Add Cauchy noise to a share of the entries."""
    return X + (rng.random(X.shape) < share) * scale * rng.standard_cauchy(X.shape)


def table(name, seed):
    """Return the rows and the labels of a table."""
    rng = np.random.default_rng(seed)
    kind, _, amount = name.rpartition(" ")
    if name in LOADERS or kind in LOADERS:
        X, y = LOADERS[name if name in LOADERS else kind](return_X_y=True)
        return (X if name in LOADERS else with_cells(rng, X, float(amount), X.std(0) / 2)), y
    if kind == "t":
        return clusters(rng, float(amount))
    X, y = clusters(rng)
    if kind == "box":
        return with_rows(rng, X, y, float(amount))
    return (with_cells(rng, X, float(amount), 1.0), y) if kind == "cells" else (X, y)


TABLES = [
    "clusters", "box 0.01", "box 0.05", "box 0.1", "cells 0.01", "cells 0.05", "cells 0.1",
    "t 3", "t 2", "iris", "iris 0.05", "wine", "wine 0.05", "breast cancer", "breast cancer 0.05",
]


def results_of(X, y, seed):
    """Return the adjusted Rand index and the mean log-density of new rows, by name."""
    order = np.random.default_rng(seed).permutation(len(X))
    fitted, new = order[::2], order[1::2]
    is_in = y[fitted] >= 0
    n_clusters = len(np.unique(y[y >= 0]))

    def index(labels):
        return adjusted_rand_score(y[fitted][is_in], labels[is_in])

    found = {}
    for likelihood in LIKELIHOODS:
        model = GMVAEClustering(n_clusters, likelihood=likelihood, random_state=seed)
        labels = model.fit_predict(X[fitted])
        density = model.score_samples(X[new], n_draws=100).mean()
        found[likelihood] = index(labels), density
        found["start"] = index(model.init_labels_), np.nan
    for scaled, scaler in SCALERS.items():
        Z, Z_new = scaler.fit_transform(X[fitted]), scaler.transform(X[new])
        kmeans = KMeans(n_clusters, n_init=10, random_state=seed)
        found[f"KMeans {scaled}"] = index(kmeans.fit_predict(Z)), np.nan
        mixture = GaussianMixture(n_clusters, n_init=3, random_state=seed)
        labels = mixture.fit_predict(Z)
        volume = np.log(getattr(scaler, "scale_", np.ones(1))).sum()
        found[f"GaussianMixture {scaled}"] = index(labels), mixture.score(Z_new) - volume
    return found


def cell(values, form):
    """Return mean, standard deviation and worst."""
    return f"{np.mean(values):{form}} {np.std(values):.2f} {np.min(values):{form}}"


def main():
    """Print two lines for each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", nargs="+", default=TABLES, help=f"of {TABLES}")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 .. SEEDS - 1")
    options = parser.parse_args()
    titles = [*LIKELIHOODS, "start", "KMeans", "GaussianMixture"]
    print(f"{'':32}", *(f"{title:>22}" for title in titles))
    for name in options.data:
        with warnings.catch_warnings(action="ignore"):
            runs = [results_of(*table(name, seed), seed) for seed in range(options.seeds)]
        for number, (what, form) in enumerate((("ARI", ".3f"), ("log-density", ".2f"))):
            cells = []
            for title in titles:
                forms = [
                    [run[form_of][number] for run in runs] for form_of in runs[0]
                    if form_of.split()[0] == title
                ]
                best = max(forms, key=np.mean)
                cells.append(cell(best, form) if np.isfinite(best).all() else "")
            print(f"{name:20}{what:12}", *(f"{text:>22}" for text in cells), flush=True)


if __name__ == "__main__":
    main()
