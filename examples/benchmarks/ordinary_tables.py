r"""
Ordinary tables: clusters, probabilities, samples and density
=============================================================

Fits `GMVAEClustering` at its defaults to generated tables of the kinds that people cluster
(`generated_tables.py`), to the data that scikit-learn ships, and to that in `SKGMVAE_DATA` if it is
set, and prints for each kind how good the clusters are, beside other clusterers with and without a
`StandardScaler`; whether probabilities are calibrated, samples and centers belong to their cluster,
and the density is one. Last comes a table of what is asked of each kind, and whether it is met.
Labels are used for scoring only.

::

    python examples/benchmarks/ordinary_tables.py --seeds 5
    python examples/benchmarks/ordinary_tables.py --kinds flags rare --models GMVAE KMeans
    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/ordinary_tables.py \
        --kinds calibration samples strong --cases digits usps "usps both"

The kinds are

- ``flags``, ``codes``, ``categories``, ``rare``, ``thin``, ``noise``, ``uneven``, ``coarse``,
  ``ellipses``, ``nonnormal``, ``skewed``: adjusted Rand index, and the same less that of the
  initial partition;
- ``overlap``: the same for Gaussians whose posterior is known, and on fresh rows the accuracy, the
  log loss and the log-density beside those of a `GaussianMixture`;
- ``calibration``: expected calibration error of clusters that are paired with classes, and how far
  the mean of the largest probability is from the accuracy;
- ``samples``: the share of the samples of a cluster that `predict` gives to it, and where the
  centers are;
- ``integral``: that of the density over the plane;
- ``strong``: data on which an earlier version was good, against its figures;
  "start" is the initial partition of the rows that are fitted.

"Worst" is that of the cases, each a mean over seeds, unless another thing is said. The small tables
of the KEEL repository are fitted by `other_tables.py`.
"""

import argparse
import json
import os
from functools import cache, lru_cache, partial
from typing import NamedTuple

import numpy as np
from _peers import GMVAE, PEERS, ScoreTable, clusters_score, installed_peers, run, start_of
from clustering_quality import EMBEDDED, SETTINGS, load
from generated_tables import (
    TABLES,
    make_overlapping,
    make_uneven_pair,
    overlapping_posterior,
)
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.metrics import log_loss
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture

from skgmvae import GMVAEClustering
from skgmvae.metrics import clustering_accuracy

FRESH_ROWS = 5000
SAMPLES = 1000  # of each cluster

# the mean adjusted Rand index that is asked of each kind; of each of its cases if the last is True
PARTITION_BARS = {
    "flags": (0.97, True), "codes": (0.90, True), "categories": (0.83, False),
    "rare": (0.99, True), "thin": (0.90, False), "noise": (0.88, False),
    "uneven": (0.90, False), "coarse": (0.90, False), "ellipses": (0.90, False),
    "nonnormal": (0.80, False), "skewed": (0.60, False), "grids": (0.90, False),
}

CALIBRATION = ("digits", "pendigits", "usps", "usps both", "mnist", "mnist both")
UNEVEN_PAIRS = {
    f"blobs {ratio}:1, {n_columns}d": partial(make_uneven_pair, ratio, n_columns)
    for ratio in (9, 19) for n_columns in (3, 10)
}
SAMPLED = ("iris", "wine", "breast_cancer", "digits", *UNEVEN_PAIRS, "usps", "mnist")
STRONG = {  # measure, figure and spread of an earlier version, which are to be kept
    "moons": ("ARI", 1.0, 0.0), "circles": ("ARI", 1.0, 0.0),
    "digits": ("accuracy", 0.952, 0.009), "pendigits": ("accuracy", 0.853, 0.018),
    "usps both": ("accuracy", 0.966, 0.003), "mnist": ("accuracy", 0.985, 0.001),
    "mnist both": ("accuracy", 0.991, 0.001), "sc_worm_neuron_4186": ("ARI", 0.467, 0.014),
    "news20_tfidf2000": ("accuracy", 0.431, 0.009),
}
PLANE = {
    "moons": partial(make_moons, 400, noise=0.06),
    "circles": partial(make_circles, 400, noise=0.05, factor=0.5),
}


class Data(NamedTuple):
    """Rows to fit and rows to score."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


class Finding(NamedTuple):
    """A line of the last table."""

    kind: str
    measure: str
    mean: float
    worst: float
    bar: str
    met: bool
    beside: str = ""


def finding(kind, measure, values, *, least=None, mean_least=None, beside=""):
    """Return whether each value is at least `least`, and their mean at least `mean_least`."""
    if not len(values):
        return None
    mean, worst = np.mean(values), np.min(values)
    bars = [
        f"{name} >= {bound:g}" for name, bound in (("all", least), ("mean", mean_least))
        if bound is not None
    ]
    met = (least is None or worst >= least) and (mean_least is None or mean >= mean_least)
    return Finding(kind, measure, mean, worst, ", ".join(bars), met, beside)


def finding_below(kind, measure, values, *, most=None, mean_most=None, beside=""):
    """Return whether each value is at most `most`, and their mean at most `mean_most`."""
    if not len(values):
        return None
    mean, worst = np.mean(values), np.max(values)
    bars = [
        f"{name} <= {bound:g}" for name, bound in (("all", most), ("mean", mean_most))
        if bound is not None
    ]
    met = (most is None or worst <= most) and (mean_most is None or mean <= mean_most)
    return Finding(kind, measure, mean, worst, ", ".join(bars), met, beside)


def over_start(kind, differences):
    """Return whether no fit is worse than its initial partition."""
    return finding(
        kind, "ARI less that of its start, of each fit", differences, least=-0.02, mean_least=0.0
    )


# Clusters


def make_ours(options, n_clusters, seed):
    """Return our clusterer."""
    return GMVAEClustering(n_clusters, random_state=seed, **json.loads(options.params))


def partitions(kind, options, look=None):
    """Print the indices of a kind of generated tables; let `look` see the runs of each case."""
    table = ScoreTable(options.models, partial(make_ours, options))
    table.print_head(kind)
    for case, make in TABLES[kind].items():
        if chosen(case, options):
            runs = table.print_line(case, (make(random_state=s) for s in range(options.seeds)))
            if look is not None:
                look(case, make.args, runs)
    table.print_foot()
    return table


def chosen(case, options):
    """Tell whether a case is asked for."""
    return options.cases is None or case in options.cases


def clusters(kind, options):
    """Return what is found of the clusters of a kind."""
    table = partitions(kind, options)
    if not table.means.get(GMVAE):
        return []
    bar, each = PARTITION_BARS[kind]
    peer = table.best_peer()
    beside = f"{peer} {np.mean(table.means[peer]):.3f}" if peer else ""
    return [
        finding(kind, "ARI", table.means[GMVAE], beside=beside,
                **{"least" if each else "mean_least": bar}),
        over_start(kind, table.over_start),
    ]


# Probabilities


def paired(probabilities, y):
    """Return probabilities of classes: clusters and classes are paired to the best accuracy."""
    counts = contingency_matrix(y, probabilities.argmax(axis=1))
    full = np.zeros((len(counts), probabilities.shape[1]))
    full[:, np.unique(probabilities.argmax(axis=1))] = counts
    classes, columns = linear_sum_assignment(full, maximize=True)
    return probabilities[:, columns[np.argsort(classes)]]


def calibration_error(correct, confidence, n_bins=15):
    """Return the expected calibration error."""
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=n_bins)
    return np.abs(gaps).sum() / len(correct)


def overlap(options):
    """Compare with the right model on rows that were not fitted."""
    found = []

    def look(case, arguments, runs):
        n_clusters, n_columns, distance, _ = arguments
        rows = []
        for seed, fitted in enumerate(runs.get(GMVAE, [])):
            X, _ = make_overlapping(*arguments, random_state=seed)
            X_new, y = make_overlapping(
                n_clusters, n_columns, distance, FRESH_ROWS, random_state=10_000 + seed
            )
            mixture = GaussianMixture(n_clusters, n_init=3, random_state=seed).fit(X)
            ours, theirs = (paired(m.predict_proba(X_new), y) for m in (fitted.model, mixture))
            truth = overlapping_posterior(X_new, n_clusters, distance)
            rows.append([
                *(np.mean(p.argmax(axis=1) == y) for p in (ours, theirs, truth)),
                *(log_loss(y, np.clip(p, 1e-15, 1)) for p in (ours, theirs, truth)),
                fitted.model.score_samples(X_new, n_draws=64).mean(), mixture.score(X_new),
            ])
        if rows:
            found.append([case, *np.mean(rows, axis=0)])

    table = partitions("overlap", options, look)
    if not found:
        return []
    print(f"\noverlap, on {FRESH_ROWS} fresh rows: ours, a GaussianMixture, the truth")
    print(f"{'':20}{'accuracy':>24}{'log loss':>24}{'log-density':>16}")
    for case, *values in found:
        cells = (f"{value:8.3f}" for value in values)
        print(f"{case:20}" + "".join(cells))
    ours, theirs, _, loss, loss_theirs, _, density, density_theirs = np.array(
        [values for _, *values in found]).T
    return [
        finding("overlap", "accuracy less GaussianMixture's", ours - theirs, least=-0.02,
                mean_least=-0.005),
        finding_below("overlap", "log loss over GaussianMixture's", loss / loss_theirs, most=1.3,
                      mean_most=1.15),
        finding_below("overlap", "log-density, distance from GaussianMixture's",
                      np.abs(density - density_theirs), most=0.1),
        over_start("overlap", table.over_start),
    ]


# Real data; each fit serves all kinds


@lru_cache(maxsize=1)
def real_data(name):
    """Return rows to fit and to score, and the shape of an image."""
    *arrays, image_shape = load(name.removesuffix(" both"))
    return Data(*arrays), image_shape


@cache
def fitted_to(name, seed, params):
    """Return the run of our clusterer, and the rows that it is scored on."""
    settings, image_shape = {}, None
    if name in UNEVEN_PAIRS or name in PLANE:
        X, y = (UNEVEN_PAIRS | PLANE)[name](random_state=seed)
        data = Data(X, y, X, y)
    else:
        data, image_shape = real_data(name)
        settings = dict(SETTINGS.get(name.removesuffix(" both"), {}))
    if name.endswith(" both"):
        settings |= {"perturbation": "both", "networks": "conv", "image_shape": image_shape}
    model = GMVAEClustering(
        len(np.unique(data.y)), random_state=seed, **(settings | json.loads(params))
    )
    return run(model, data.X), data


def at_hand(names, options):
    """Yield those that are asked for and whose data are there."""
    made = {*EMBEDDED, *UNEVEN_PAIRS, *PLANE}
    for name in names:
        if chosen(name, options):
            if name in made or "SKGMVAE_DATA" in os.environ:
                yield name
            else:
                print(f"{name}: left out, SKGMVAE_DATA isn't set")


def took(runs):
    """Say what fits took."""
    seconds = np.mean([fitted.cpu_seconds for fitted in runs])
    return f"{seconds:9.1f} s{max(fitted.mebibytes for fitted in runs):8.0f} MiB"


def calibration(options):
    """Compare probabilities with what is right."""
    print("\ncalibration: clusters paired with classes, mean over seeds")
    print(f"{'':22}{'accuracy':>10}{'ECE':>8}{'largest p':>11}{'less acc.':>11}{'fit':>22}")
    found = []
    for name in at_hand(CALIBRATION, options):
        rows, runs = [], []
        for seed in range(options.seeds):
            fitted, data = fitted_to(name, seed, options.params)
            probabilities = paired(fitted.model.predict_proba(data.X_test), data.y_test)
            largest = probabilities.max(axis=1)
            correct = np.unique(data.y_test)[probabilities.argmax(axis=1)] == data.y_test
            error = calibration_error(correct, largest)
            rows.append((correct.mean(), error, largest.mean(), largest.mean() - correct.mean()))
            runs.append(fitted)
        accuracy, error, confidence, over = np.mean(rows, axis=0)
        found.append((error, over))
        print(f"{name:22}{accuracy:10.3f}{error:8.3f}{confidence:11.3f}{over:11.3f}"
              f"{took(runs):>22}", flush=True)
    if not found:
        return []
    errors, over = np.array(found).T
    return [
        finding_below("calibration", "ECE, 15 bins", errors, most=0.02),
        finding_below("calibration", "mean largest probability, distance from the accuracy",
                      np.abs(over), most=0.02),
    ]


# Samples and centers


def kept_share(model, n_clusters):
    """Return for each cluster the share of its samples that `predict` gives to it."""
    return np.array([
        np.mean(model.predict(model.sample(SAMPLES, cluster=cluster)[0]) == cluster)
        for cluster in range(n_clusters)
    ])


def kept_share_of_mixture(X, n_clusters, seed):
    """Return the same of a GaussianMixture, of diagonal covariances beyond 100 columns."""
    covariance = "full" if X.shape[1] <= 100 else "diag"
    if X.dtype == np.uint8:
        X = X / 255.0
    mixture = GaussianMixture(
        n_clusters, covariance_type=covariance, reg_covar=1e-3 if X.shape[1] > 50 else 1e-6,
        random_state=seed,
    ).fit(X)
    rng = np.random.default_rng(seed)
    shares = []
    for cluster, (mean, spread) in enumerate(
            zip(mixture.means_, mixture.covariances_, strict=True)):
        root = np.linalg.cholesky(spread) if covariance == "full" else np.diag(np.sqrt(spread))
        rows = mean + rng.standard_normal((SAMPLES, len(mean))) @ root.T
        shares.append(np.mean(mixture.predict(rows) == cluster))
    return np.array(shares)


def distance_of_centers(model, X):
    """Return the largest distance of a center from the mean of the members.

    It is in standard deviations within the cluster, the root mean square over columns. Clusters of
    a single row have none.
    """
    distances = []
    for cluster, center in enumerate(model.cluster_centers_):
        members = X[model.labels_ == cluster].astype(float)
        if len(members) > 1:
            spread = np.sqrt(members.var(axis=0).mean())
            distances.append(np.linalg.norm(center - members.mean(axis=0)) / spread)
    return max(distances)


def samples(options):
    """Ask whether what is drawn from a cluster, and its center, belong to it."""
    print(f"\nsamples: share of {SAMPLES} samples of a cluster that are given to it, over seeds")
    print(f"{'':22}{'mean':>8}{'worst':>8}{'mixture':>12}{'worst':>8}{'centers kept':>14}"
          f"{'center off':>12}{'fit':>22}")
    means, lows, own, off = [], [], [], []
    for name in at_hand(SAMPLED, options):
        shares, theirs, kept, distances, runs = [], [], [], [], []
        for seed in range(options.seeds):
            fitted, data = fitted_to(name, seed, options.params)
            n_clusters = len(np.unique(data.y))
            shares.append(kept_share(fitted.model, n_clusters))
            theirs.append(kept_share_of_mixture(data.X, n_clusters, seed))
            centers = fitted.model.predict(fitted.model.cluster_centers_)
            kept.append(np.array_equal(centers, np.arange(n_clusters)))
            distances.append(distance_of_centers(fitted.model, data.X))
            runs.append(fitted)
        means.append(np.mean(shares))
        # a cluster's share counts from where it falls below the smaller of the two bars
        lows.append(np.min(shares) - min(0.9, np.min(theirs) - 0.03))
        own.append(np.mean(kept))
        if name in UNEVEN_PAIRS:
            off.append(np.max(distances))
        print(f"{name:22}{means[-1]:8.3f}{np.min(shares):8.3f}{np.mean(theirs):12.3f}"
              f"{np.min(theirs):8.3f}{f'{sum(kept)} of {len(kept)}':>14}{np.max(distances):12.2f}"
              f"{took(runs):>22}", flush=True)
    return [
        finding("samples", "share in its cluster, mean of a data set", means, mean_least=0.96),
        finding("samples", "each cluster's over the smaller of .9 and GM's - .03", lows, least=0),
        finding("samples", "predict(cluster_centers_) is arange(K), share of fits", own, least=1),
        finding_below("samples", "centers off on Gaussian clusters, sd, of each fit", off,
                      most=0.25),
    ]


# Density


def correlated_pairs(random_state):
    """Make two Gaussians in the plane with correlated columns."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(2, size=500)
    turn = np.array([[1.0, 0.8], [0.0, 0.6]])
    return rng.standard_normal((500, 2)) @ turn + 5.0 * np.c_[y, -y], y


INTEGRALS = {
    "moons": PLANE["moons"],
    "blobs": lambda random_state: make_blobs(500, centers=3, random_state=random_state),
    "correlated pairs": correlated_pairs,
}


def integral_of_density(model, X, n_draws, n_points=200):
    """Return the integral over a grid that reaches beyond the rows by half their range."""
    low, high = X.min(axis=0), X.max(axis=0)
    axes = np.linspace(low - (high - low) / 2, high + (high - low) / 2, n_points).T
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    log_density = np.concatenate([
        model.score_samples(rows, n_draws=n_draws) for rows in np.array_split(grid, 20)
    ])
    return np.exp(log_density).sum() * cell


def integral(options):
    """Ask whether the density is one."""
    print("\nintegral of exp(score_samples(n_draws=100)) over the plane, of each seed")
    found = []
    for name, make in INTEGRALS.items():
        if chosen(name, options):
            values = []
            for seed in range(options.seeds):
                X, y = make(random_state=seed)
                model = run(make_ours(options, len(np.unique(y)), seed), X).model
                values.append(integral_of_density(model, X, 100))
            print(f"{name:22}", *(f"{value:8.3f}" for value in values), flush=True)
            found += values
    return [
        finding_below("integral", "distance from 1, of each fit", np.abs(np.array(found) - 1),
                      most=0.03)
    ]


# What was good


def strong(options):
    """Compare with the figures of earlier versions."""
    print("\nstrong: what earlier versions had, mean over seeds")
    print(f"{'':22}{'measure':>10}{'mean':>8}{'worst':>8}{'start':>8}{'before':>16}{'fit':>22}")
    found, differences = [], []
    for name in at_hand(STRONG, options):
        measure, before, spread = STRONG[name]
        score = clusters_score if measure == "ARI" else clustering_accuracy
        values, starts, runs = [], [], []
        for seed in range(options.seeds):
            fitted, data = fitted_to(name, seed, options.params)
            values.append(score(data.y_test, fitted.model.predict(data.X_test)))
            runs.append(fitted)
            start = start_of(fitted)
            if start is not None:
                starts.append(score(data.y, start.labels))
                differences.append(
                    clusters_score(data.y, fitted.labels) - clusters_score(data.y, start.labels)
                )
        found.append(np.mean(values) - before + spread)
        print(f"{name:22}{measure:>10}{np.mean(values):8.3f}{np.min(values):8.3f}"
              f"{np.mean(starts or [np.nan]):8.3f}"
              f"{f'{before:.3f} +- {spread:.3f}':>16}{took(runs):>22}", flush=True)
    return [
        finding("strong", "mean over the figure less its spread", found, least=-0.0005),
        over_start("strong", differences),
    ]


KINDS = {
    **{kind: partial(clusters, kind) for kind in PARTITION_BARS},
    "overlap": overlap, "calibration": calibration, "samples": samples, "integral": integral,
    "strong": strong,
}


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--cases", nargs="+", help="only those of these names")
    parser.add_argument(
        "--models", nargs="+", default=[GMVAE, *installed_peers()], choices=[GMVAE, *PEERS]
    )
    parser.add_argument("--params", default="{}", help="further constructor parameters, as JSON")
    options = parser.parse_args()
    found = [line for kind in options.kinds for line in KINDS[kind](options) if line is not None]
    print(f"\nseeds 0 to {options.seeds - 1}, params {options.params}")
    print(f"{'kind':12}{'measure':56}{'mean':>8}{'worst':>8}  {'bar':34}{'met':6}best peer, mean")
    for line in found:
        print(f"{line.kind:12}{line.measure:56}{line.mean:8.3f}{line.worst:8.3f}  {line.bar:34}"
              f"{'yes' if line.met else 'NO':6}{line.beside}")


if __name__ == "__main__":
    main()
