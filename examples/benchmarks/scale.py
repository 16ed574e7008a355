r"""
Time and memory of a fit, by part
=================================

Fits generated tables of several sizes and prints, for each part of a fit, seconds and the peak of
memory during it, less what was held before; and how seconds grow with the number of rows: the slope
of their logarithms. Seconds are those of all threads on a CPU, so that other programs disturb them
little, and those of the clock on CUDA, where memory is that of the device. Rows are of Gaussian
clusters in ten dimensions that overlap a little, the largest three times as frequent as the
smallest, mapped to the features with some noise; labels are used for scoring only. Each size is
fitted in a process of its own. The table is that of docs/scaling.md::

    python examples/benchmarks/scale.py --rows 10000 100000 1000000 --features 20 --clusters 10
    python examples/benchmarks/scale.py --dtype uint8 --features 784 --max-gib 1 --max-seconds 300
"""

import argparse
import json
import time
import warnings
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from _peers import peak_memory, reset_peak_memory, warm_up
from scipy.spatial.distance import cdist
from sklearn.metrics import adjusted_rand_score
from speed import table

from skgmvae import GMVAEClustering, estimator
from skgmvae._fit import preparation, pseudo_labels, recipe

N_DIMENSIONS, DISTANCE, NOISE = 10, 5.0, 0.3  # in standard deviations within a cluster
BLOCK = 50_000  # rows that are generated at a time

# the functions of a fit that make up each part
PARTS = {
    "validation": ((estimator, "validate_data"),),
    "order": ((estimator.Copies, "of"),),
    "units": ((recipe, "prepare"), (preparation.Rows, "standardized")),
    "neighbors": (
        (pseudo_labels, "find_neighbors"), (pseudo_labels, "nearest_up_to_affine"),
        (pseudo_labels, "perturbation_radius"),
    ),
    "partition": ((pseudo_labels, "initial_partition"),),
    "training": ((recipe, "run_restarts"),),
    "description": (
        (recipe, "aggregated"), (recipe, "describe"), (recipe, "warnings_of_far_rows"),
        (recipe, "warnings_of_clusters"),
    ),
}


class Size(NamedTuple):
    """What is fitted."""

    n_features: int
    dtype: str
    n_clusters: int
    n_rows: int

    @property
    def gibibytes(self):
        """Of the rows in single precision."""
        return 4 * self.n_rows * self.n_features / 2**30


class Cost(NamedTuple):
    """What a part takes."""

    seconds: float
    mebibytes: float

    def __str__(self):
        return f"{self.seconds:.1f} / {self.mebibytes:.0f}"


class Measured(NamedTuple):
    """What a fit took, by part and in all, and the adjusted Rand index of its labels."""

    parts: dict[str, Cost]
    whole: Cost
    wall_seconds: float
    ari_of_start: float
    ari: float


def make_rows(size, seed=0):
    """Return X and y; the median distance of a center to the nearest other is `DISTANCE`."""
    rng = np.random.default_rng(seed)
    n_dimensions = min(N_DIMENSIONS, size.n_features)
    centers = rng.standard_normal((size.n_clusters, n_dimensions))
    apart = cdist(centers, centers) + np.diag(np.full(size.n_clusters, np.inf))
    centers *= DISTANCE / np.median(apart.min(1))
    shares = np.linspace(1, 3, size.n_clusters)
    y = rng.choice(size.n_clusters, size.n_rows, p=shares / shares.sum())
    directions = np.linalg.qr(rng.standard_normal((size.n_features, n_dimensions)))[0].T
    X = np.empty((size.n_rows, size.n_features), size.dtype)
    step = 255 / 8 / np.sqrt((centers.var(0) + 1).sum() / size.n_features + NOISE**2)
    for first in range(0, size.n_rows, BLOCK):
        block = slice(first, first + BLOCK)
        points = centers[y[block]] + rng.standard_normal((len(y[block]), n_dimensions))
        values = points @ directions + NOISE * rng.standard_normal(X[block].shape)
        if size.dtype == "uint8":
            values = np.clip(np.rint(127.5 + step * values), 0, 255)
        X[block] = values
    return X, y


class Meter:
    """Measures the parts of a fit."""

    def __init__(self, device):
        self.is_gpu = torch.device(device).type == "cuda"
        self.parts = dict.fromkeys(PARTS, Cost(0.0, 0.0))
        self.most = 0.0  # MiB, at any time

    def seconds(self):
        """Return the CPU time, or the time on the clock when the device has done its work."""
        if not self.is_gpu:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self):
        """Return the peak of memory since the last reset, in MiB."""
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.is_gpu else peak_memory()
        self.most = max(self.most, peak)
        return peak

    def reset(self):
        """Forget the peak, and return what is held."""
        self.peak()
        if not self.is_gpu:
            return reset_peak_memory()
        torch.cuda.reset_peak_memory_stats()
        return self.peak()

    def call(self, part, function, *arguments, **keywords):
        """Call a function on behalf of a part."""
        held, began = self.reset(), self.seconds()
        try:
            return function(*arguments, **keywords)
        finally:
            before = self.parts[part]
            self.parts[part] = Cost(
                before.seconds + self.seconds() - began, max(before.mebibytes, self.peak() - held)
            )

    @contextmanager
    def measuring(self):
        """Measure the parts of the fit that is made meanwhile."""
        with ExitStack() as stack:
            for part, functions in PARTS.items():
                for place, name in functions:
                    measured = partial(self.call, part, getattr(place, name))
                    stack.enter_context(patch.object(place, name, measured))
            yield


def measure(size, options):
    """Fit a table in this process."""
    if options.threads:
        torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    X, y = make_rows(size)
    warm_up()
    model = GMVAEClustering(
        size.n_clusters, max_iter=options.max_iter, device=options.device, random_state=0,
        **json.loads(options.params),
    )
    meter = Meter(options.device)
    held, began, wall = meter.reset(), meter.seconds(), time.perf_counter()
    meter.most = held
    with meter.measuring():
        model.fit(X)
    seconds, wall = meter.seconds() - began, time.perf_counter() - wall
    meter.peak()
    start = getattr(model, "init_labels_", np.zeros_like(y))
    return Measured(
        meter.parts, Cost(seconds, meter.most - held), wall,
        adjusted_rand_score(y, start), adjusted_rand_score(y, model.labels_),
    )


def exponents(n_rows, costs):
    """Return the slope of the logarithm of seconds on that of rows, by part, if there are any."""
    seconds = np.array([[cost.seconds for cost in of_size] for of_size in costs])
    slopes = np.polyfit(np.log(n_rows), np.log(np.maximum(seconds, 1e-6)), 1)[0]
    return np.where(seconds.min(0) > 0.01, slopes, np.nan)


def lines_of(sizes, options):
    """Fit sizes that differ in their numbers of rows; return the lines of the table."""
    lines, n_rows, costs, slowest = [], [], [], 0.0
    for size in sizes:
        named = [f"{size.n_rows:,}", f"{size.n_features}", size.dtype, f"{size.n_clusters}"]
        if size.gibibytes > options.max_gib:
            reason = f"skipped: {size.gibibytes:.1f} GiB in single precision, of --max-gib"
        elif slowest > options.max_seconds:
            reason = "skipped: fewer rows took longer than --max-seconds"
        else:
            # memory that an earlier fit has freed may still be held by a process
            with get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (size, options))
            n_rows.append(size.n_rows)
            costs.append([*found.parts.values(), found.whole])
            slowest = found.wall_seconds
            lines.append([
                *named, *map(str, costs[-1]), f"{found.wall_seconds:.1f}",
                f"{found.whole.mebibytes / 1024 / size.gibibytes:.1f}",
                f"{found.ari_of_start:.3f}", f"{found.ari:.3f}",
            ])
            print(*lines[-1], sep="  ", flush=True)
            continue
        lines.append([*named, reason, *[""] * (len(PARTS) + 4)])
        print(*named, reason, sep="  ", flush=True)
    if len(n_rows) > 1:
        growth = [f"{slope:.2f}" if slope == slope else "-" for slope in exponents(n_rows, costs)]
        lines.append(["exponent", *named[1:], *growth, *[""] * 4])
    return lines


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--features", nargs="+", type=int, default=[20, 50, 784])
    parser.add_argument(
        "--dtype", nargs="+", choices=["uint8", "float32"], default=["uint8", "float32"]
    )
    parser.add_argument("--clusters", nargs="+", type=int, default=[10, 100, 1000])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; default: as many as it takes")
    parser.add_argument(
        "--max-iter", default="auto", type=lambda given: given if given == "auto" else int(given)
    )
    parser.add_argument("--params", default="{}", help="further constructor parameters, as JSON")
    parser.add_argument(
        "--max-gib", type=float, default=4.0, help="skip more, of the rows in single precision"
    )
    parser.add_argument(
        "--max-seconds", type=float, default=600.0,
        help="skip more rows than those whose fit took longer, by the clock",
    )
    options = parser.parse_args()
    lines = []
    for kind in product(options.features, options.dtype, options.clusters):
        lines += lines_of([Size(*kind, n_rows) for n_rows in sorted(options.rows)], options)
    print(
        "\nSeconds / MiB at the peak, less what was held before; all beside X, as a multiple of X "
        f"in single precision;\n{options.device}, {options.threads or torch.get_num_threads()} "
        f"thread(s), max_iter={options.max_iter}, torch {torch.__version__}\n"
    )
    print(table([
        ["rows", "features", "dtype", "K", *PARTS, "all", "wall, s", "x X", "ARI of the start",
         "ARI"], *lines,
    ]))


if __name__ == "__main__":
    main()
