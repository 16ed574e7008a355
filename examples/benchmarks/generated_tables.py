"""
Generated tables of the kinds that people cluster
=================================================

Each function takes `random_state` and returns X and y; y is -1 for rows of noise, which belong to
no cluster. `TABLES[kind][case]` is such a function with everything else filled in, and
`ordinary_tables.py` fits all of them. Run as a script, this file lists them.

::

    python examples/benchmarks/generated_tables.py
"""

from functools import partial
from itertools import cycle

import numpy as np
from scipy.spatial.distance import pdist
from scipy.special import logsumexp
from sklearn.datasets import load_iris, load_wine, make_blobs, make_moons

TAU = 2 * np.pi


def stacked(*groups):
    """Return the rows of all groups, and the number of the group that each row is from."""
    return np.vstack(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def with_noise(X, y, share, rng):
    """Add rows without a cluster, uniform over a box a little larger than the data."""
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.1 * (high - low)
    rows = rng.uniform(low - margin, high + margin, (round(share * len(X)), X.shape[1]))
    return np.vstack([X, rows]), np.r_[y, np.full(len(rows), -1)]


def distant_centers(n_clusters, n_columns, distance, rng):
    """Return centers in random directions, the closest two of which are `distance` apart."""
    centers = rng.standard_normal((n_clusters, n_columns))
    return centers * distance / pdist(centers).min()


# Flags and categories that say nothing, beside columns that say everything


def make_flags(n_columns, n_clusters, distance, noise, n_samples=600, random_state=None):
    """Make unit Gaussians in `n_columns`, and columns of few values that are pure noise.

    `noise` names them: ``flag`` is zero or one, ``rare_flag`` one in a row of twenty, ``category``
    a one-hot encoding of three levels; several are joined by a plus sign.
    """
    rng = np.random.default_rng(random_state)
    y = rng.integers(n_clusters, size=n_samples)
    centers = distant_centers(n_clusters, n_columns, distance, rng)
    columns = [centers[y] + rng.standard_normal((n_samples, n_columns))]
    for name in noise.split("+"):
        if name == "category":
            columns.append(np.eye(3)[rng.integers(3, size=n_samples)])
        else:
            columns.append(rng.random((n_samples, 1)) < (0.05 if name == "rare_flag" else 0.5))
    return np.hstack(columns).astype(float), y


def make_codes(code, share, n_columns, n_clusters=3, n_samples=600, random_state=None):
    """Make unit Gaussians, five apart and far from zero; in the last column a share is a code."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(n_clusters, size=n_samples)
    centers = distant_centers(n_clusters, n_columns, 5, rng)
    X = 12 + centers[y] + rng.standard_normal((n_samples, n_columns))
    X[rng.random(n_samples) < share, -1] = code
    return X, y


# Categories and flags alone


def make_grids(noise, n_columns=3, n_clusters=3, n_samples=800, random_state=None):
    """Make unit Gaussians 6 apart, and columns of few values, unevenly spaced, that are pure noise.

    `noise` names them: logarithms of counts (``log``), their roots (``root``), powers of two
    (``power``), the place of the month on a circle (``month``), or what a table says of each of
    ten shops, in one column or two (``lookup``, ``place``).
    """
    rng = np.random.default_rng(random_state)
    y = rng.integers(n_clusters, size=n_samples)
    centers = distant_centers(n_clusters, n_columns, 6, rng)
    counts, month = rng.poisson(1.5, (n_samples, 2)), rng.integers(12, size=n_samples) * TAU / 12
    columns = {
        "log": np.log1p(counts), "root": np.sqrt(counts),
        "power": 2.0 ** rng.integers(8, size=(n_samples, 1)),
        "month": np.column_stack([np.sin(month), np.cos(month)]),
        "lookup": rng.uniform(0, 10, (10, 1))[rng.integers(10, size=n_samples)],
        "place": rng.uniform(0, 10, (10, 2))[rng.integers(10, size=n_samples)],
    }
    return np.hstack([centers[y] + rng.standard_normal((n_samples, n_columns)), columns[noise]]), y


def make_customers(n_clusters=3, random_state=None):
    """Make logarithms of customers' recency, of their number of purchases and what they spent."""
    rng = np.random.default_rng(random_state)
    y = of_shares([5, 3, 2, 1][:n_clusters], 1200, rng)
    days = rng.integers(1, np.array([365, 120, 30, 200])[y])
    n_purchases = 1 + rng.poisson(np.array([0.8, 5, 20, 9])[y])
    spent = rng.lognormal(np.array([3.5, 5.5, 7.5, 4.0])[y], 0.4)
    return np.log1p(np.column_stack([days, n_purchases, spent])), y


def make_visits(random_state=None):
    """Make pages, seconds, bytes and errors of visits to a site, of three kinds, 6:3:1."""
    rng = np.random.default_rng(random_state)
    y = of_shares([6, 3, 1], 1500, rng)
    pages = 1 + rng.poisson(np.array([2, 8, 40])[y])
    seconds = rng.lognormal(np.log([20, 180, 1200])[y], 0.6)
    n_bytes = rng.lognormal(np.log([2e4, 3e5, 4e6])[y], 0.7)
    return np.column_stack([pages, seconds, n_bytes, rng.poisson(np.array([0.1, 0.3, 6])[y])]), y


def make_categories(n_levels, n_columns, n_clusters, certainty, n_samples=1000, random_state=None):
    """Make latent classes: given the class, the columns are independent of each other.

    `n_levels` are the numbers of levels of the columns, in turn: two levels are one column of zeros
    and ones, more are one-hot encoded. Rows have the level that is typical of their class with a
    probability of `certainty`, plus what is left over, shared by all levels.
    """
    rng = np.random.default_rng(random_state)
    y = rng.integers(n_clusters, size=n_samples)
    columns = []
    for _, levels in zip(range(n_columns), cycle(n_levels)):
        typical = rng.integers(levels, size=n_clusters)
        is_typical = rng.random(n_samples) < certainty
        level = np.where(is_typical, typical[y], rng.integers(levels, size=n_samples))
        columns.append(level[:, None] if levels == 2 else np.eye(levels)[level])
    return np.hstack(columns).astype(float), y


# Rare clusters far away


def make_rare(n_rare, n_columns, distance=10.0, n_samples=1000, random_state=None):
    """Make one unit Gaussian, and a few rows that are `distance` away from it in every column."""
    rng = np.random.default_rng(random_state)
    X = rng.standard_normal((n_samples, n_columns))
    y = np.zeros(n_samples, dtype=int)
    rare = rng.choice(n_samples, n_rare, replace=False)
    X[rare] += distance
    y[rare] = 1
    return X, y


def make_uneven_pair(ratio, n_columns, distance=6.0, n_samples=1000, random_state=None):
    """Make two unit Gaussians, of which one has `ratio` times the rows of the other."""
    rng = np.random.default_rng(random_state)
    y = np.zeros(n_samples, dtype=int)
    y[rng.choice(n_samples, round(n_samples / (1 + ratio)), replace=False)] = 1
    centers = distant_centers(2, n_columns, distance, rng)
    return centers[y] + rng.standard_normal((n_samples, n_columns)), y


# Overlapping clusters whose posterior is known


def overlapping_centers(n_clusters, n_columns, distance):
    """Return the corners of a regular polygon with sides of `distance`; on a line in one column."""
    centers = np.zeros((n_clusters, n_columns))
    if n_columns == 1 or n_clusters == 2:
        centers[:, 0] = distance * np.arange(n_clusters)
        return centers
    angles = TAU * np.arange(n_clusters) / n_clusters
    radius = distance / (2 * np.sin(np.pi / n_clusters))
    centers[:, :2] = radius * np.c_[np.cos(angles), np.sin(angles)]
    return centers


def make_overlapping(n_clusters, n_columns, distance, n_samples=2000, random_state=None):
    """Make unit Gaussians, equally likely, whose neighbors are `distance` apart.

    The centers don't depend on `random_state`: another one draws fresh rows of the same clusters.
    """
    rng = np.random.default_rng(random_state)
    y = rng.integers(n_clusters, size=n_samples)
    centers = overlapping_centers(n_clusters, n_columns, distance)
    return centers[y] + rng.standard_normal((n_samples, n_columns)), y


def overlapping_posterior(X, n_clusters, distance):
    """Return the true probabilities of the clusters of `make_overlapping` for each row."""
    centers = overlapping_centers(n_clusters, X.shape[1], distance)
    log_density = -0.5 * np.square(X[:, None] - centers).sum(axis=2)
    return np.exp(log_density - logsumexp(log_density, axis=1, keepdims=True))


# Thin shapes


def along(points, width, rng):
    """Return rows about points of a curve, with Gaussian noise of standard deviation `width`."""
    points = np.column_stack(points)
    return points + width * rng.standard_normal(points.shape)


def arc(n_rows, radius, width, rng, start=0.0, end=TAU, center=(0.0, 0.0)):
    """Return rows about an arc of a circle."""
    angle = rng.uniform(start, end, n_rows)
    points = center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)
    return along(points, width, rng)


def bar(n_rows, length, height, rng, corner=(0.0, 0.0)):
    """Return rows uniform over a rectangle."""
    return rng.uniform((0, 0), (length, height), (n_rows, 2)) + corner


def make_spirals(n_clusters, n_rows, turns, width, random_state=None):
    """Make the arms of a spiral."""
    rng = np.random.default_rng(random_state)
    arms = []
    for number in range(n_clusters):
        radius = np.linspace(1.5, 10, n_rows)
        angle = TAU * (turns * radius / 10 + number / n_clusters)
        arms.append(along((radius * np.cos(angle), radius * np.sin(angle)), width, rng))
    return stacked(*arms)


def make_waves(n_clusters=2, width=0.12, random_state=None):
    """Make parallel sine waves."""
    rng = np.random.default_rng(random_state)
    waves = []
    for number in range(n_clusters):
        x = rng.uniform(0, 12, 240)
        waves.append(along((x, 1.6 * number + np.sin(1.5 * x)), width, rng))
    return stacked(*waves)


def make_saws(width=0.06, random_state=None):
    """Make three parallel saw-tooth lines of different length in rows."""
    rng = np.random.default_rng(random_state)
    saws = []
    for number, n_rows in enumerate((200, 130, 110)):
        x = rng.uniform(0, 5, n_rows)
        tooth = 1.6 * np.abs(x / 2 - np.round(x / 2))
        saws.append(along((x, 1.2 * number + tooth), width, rng))
    return stacked(*saws)


def make_bars(n_clusters=4, n_rows=160, random_state=None):
    """Make long bars above one another, with gaps of less than twice their height."""
    rng = np.random.default_rng(random_state)
    return stacked(*(bar(n_rows, 12, 0.4, rng, (0, 1.1 * number)) for number in range(n_clusters)))


def make_turned_bars(random_state=None):
    """Make parallel bars of 320 to 40 rows in a random direction."""
    rng = np.random.default_rng(random_state)
    X, y = stacked(*(
        bar(n_rows, 9, 0.5, rng, (0, 1.4 * number))
        for number, n_rows in enumerate((320, 160, 80, 40))
    ))
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return X @ turn, y


def make_rings(random_state=None):
    """Make three circles in one another."""
    rng = np.random.default_rng(random_state)
    return stacked(*(arc(220, radius, 0.12, rng) for radius in (1.2, 2.4, 3.6)))


def make_face(random_state=None):
    """Make a circle, and in it two small eyes and a mouth."""
    rng = np.random.default_rng(random_state)
    eyes = [rng.normal((x, 1.6), 0.22, (30, 2)) for x in (-1.6, 1.6)]
    mouth = arc(140, 2.4, 0.1, rng, 1.2 * np.pi, 1.8 * np.pi)
    return stacked(arc(500, 4.5, 0.12, rng), *eyes, mouth)


def make_bowls(random_state=None):
    """Make two parabolas, one nested in the other."""
    rng = np.random.default_rng(random_state)
    outer, inner = rng.uniform(-2, 2, 260), rng.uniform(-1.1, 1.1, 140)
    return stacked(
        along((outer, outer**2), 0.08, rng), along((inner, inner**2 + 1.5), 0.08, rng)
    )


def make_links(random_state=None):
    """Make two rings in space that are linked as in a chain."""
    rng = np.random.default_rng(random_state)
    first, second = rng.uniform(0, TAU, (2, 250))
    flat = np.zeros(250)
    return stacked(
        along((np.cos(first), np.sin(first), flat), 0.08, rng),
        along((1 + np.cos(second), flat, np.sin(second)), 0.08, rng),
    )


def make_shell(random_state=None):
    """Make a ball in space within a hollow sphere."""
    rng = np.random.default_rng(random_state)
    directions = rng.standard_normal((400, 3))
    sphere = 12 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return stacked(rng.normal(0, 1.8, (250, 3)), rng.normal(sphere, 0.8))


def make_medley(random_state=None):
    """Make a ring with a blob in it, a bar, and half a circle over another blob."""
    rng = np.random.default_rng(random_state)
    return stacked(
        arc(260, 2, 0.1, rng), rng.normal((0, 0), 0.4, (110, 2)),
        bar(220, 7, 0.4, rng, (3, -1.3)), arc(180, 2, 0.1, rng, 0, np.pi, (6.5, 0)),
        rng.normal((6.5, 0.4), 0.25, (70, 2)),
    )


# Shapes among rows of noise


def make_noisy(make, share, random_state=None):
    """Make another table, and add a share of rows without a cluster."""
    rng = np.random.default_rng((0 if random_state is None else random_state, 1))
    return with_noise(*make(random_state=random_state), share, rng)


def make_scene(random_state=None):
    """Make a wave, a ring with a box in it, two bars, an arch and a blob: 3,600 rows."""
    rng = np.random.default_rng(random_state)
    x = rng.uniform(0, 60, 800)
    return stacked(
        along((x, 14 + 4 * np.sin(x / 5)), 0.5, rng), arc(660, 6, 0.5, rng, center=(13, 31)),
        bar(660, 30, 3, rng, (28, 25)), bar(500, 30, 3, rng, (28, 31)),
        bar(200, 3, 3, rng, (11.5, 29.5)), arc(500, 7, 0.6, rng, np.pi, TAU, (42, 5)),
        rng.normal((8, 2), (2, 1.4), (280, 2)),
    )


# Uneven clusters


def make_thinned(load, n_kept, random_state=None):
    """Load a table that scikit-learn ships, and keep a few rows of one of its classes."""
    rng = np.random.default_rng(random_state)
    X, y = load(return_X_y=True)
    thinned = rng.permutation(np.flatnonzero(y == rng.integers(y.max() + 1)))[n_kept:]
    return np.delete(X, thinned, axis=0), np.delete(y, thinned)


def make_crumbs(random_state=None):
    """Make two large blobs that are near one another, and crumbs of five and ten rows."""
    rng = np.random.default_rng(random_state)
    return stacked(
        rng.normal((0, 0), 1, (320, 2)), rng.normal((0, 6), 1, (180, 2)),
        rng.normal((9, 3), 0.4, (5, 2)), rng.normal((7, -6), 0.4, (10, 2)),
    )


def make_target(random_state=None):
    """Make a disk within a ring, and three rows in each corner."""
    rng = np.random.default_rng(random_state)
    corners = [rng.normal((x, y), 0.1, (3, 2)) for x in (-5, 5) for y in (-5, 5)]
    return stacked(rng.normal(0, 0.5, (350, 2)), arc(350, 3, 0.1, rng), *corners)


def make_falling(random_state=None):
    """Make five blobs in five columns whose sizes fall from 400 to 5 rows."""
    rng = np.random.default_rng(random_state)
    centers = distant_centers(5, 5, 7.0, rng)
    sizes = (400, 135, 45, 15, 5)
    return stacked(*(
        rng.normal(center, 1, (size, 5)) for center, size in zip(centers, sizes, strict=True)
    ))


def make_speck(random_state=None):
    """Make a ring with a dozen rows in it."""
    rng = np.random.default_rng(random_state)
    return stacked(arc(480, 2.5, 0.12, rng), rng.normal((0.4, 0), 0.1, (12, 2)))


def make_large_and_small(random_state=None):
    """Make a blob of 1,000 rows in eight columns, one of 100 and one of 20."""
    rng = np.random.default_rng(random_state)
    place = np.eye(8)
    return stacked(
        rng.standard_normal((1000, 8)), rng.normal(4.5 * place[0], 0.5, (100, 8)),
        rng.normal(-6 * place[1], 1, (20, 8)),
    )


def make_dense_and_sparse(random_state=None):
    """Make two dense blobs that nearly touch, beside a sparse one."""
    rng = np.random.default_rng(random_state)
    return stacked(
        rng.normal((0, 0), 2.5, (160, 2)), rng.normal((0, 7), 0.25, (380, 2)),
        rng.normal((0, 8.6), 0.25, (60, 2)),
    )


# Fewer clusters than the finest structure has


def make_grouped(groups, n_columns, distance, sizes=(40, 160), random_state=None):
    """Make blobs in groups: `groups` has the number of blobs of each, and y names the group.

    Blobs of a group are 5.5 to 8 standard deviations from the one before, groups `distance`.
    """
    rng = np.random.default_rng(random_state)
    rows, y = [], []
    for group, n_blobs in enumerate(groups):
        center = np.zeros(n_columns)
        if n_columns < len(groups):
            center[0] = group * distance
        else:
            center[group] = distance / np.sqrt(2)
        blobs = []
        while len(blobs) < n_blobs:
            step = rng.standard_normal(n_columns)
            step *= rng.uniform(5.5, 8) / np.linalg.norm(step)
            blob = blobs[-1] + step if blobs else center
            if not blobs or np.linalg.norm(np.array(blobs) - blob, axis=1).min() >= 5.5:
                blobs.append(blob)
        for blob in np.array(blobs) - np.mean(blobs, axis=0) + center:
            rows.append(rng.normal(blob, 1, (rng.integers(*sizes), n_columns)))
            y.append(np.full(len(rows[-1]), group))
    return np.vstack(rows), np.concatenate(y)


# Ellipses


def make_ellipses(
    n_clusters, n_columns, distance, n_samples, stretch=4.0, ratio=1.0, random_state=None
):
    """Make Gaussians with random covariances and sizes that fall by `ratio` in all.

    Axes are up to `stretch` times as long or short as their geometric mean, and the closest two
    centers of the clusters are `distance` apart.
    """
    rng = np.random.default_rng(random_state)
    shares = np.geomspace(ratio, 1, n_clusters)
    sizes = np.maximum(3, np.round(n_samples * shares / shares.sum()).astype(int))
    side = distance * n_clusters ** (1 / n_columns)
    centers = np.empty((0, n_columns))
    while len(centers) < n_clusters:
        center = rng.uniform(-side, side, (1, n_columns))
        if not len(centers) or np.linalg.norm(centers - center, axis=1).min() > distance:
            centers = np.vstack([centers, center])
    groups = []
    for center, size in zip(centers, sizes, strict=True):
        axes, _ = np.linalg.qr(rng.standard_normal((n_columns, n_columns)))
        lengths = stretch ** rng.uniform(-1, 1, n_columns)
        lengths /= np.exp(np.log(lengths).mean())
        groups.append(center + rng.standard_normal((size, n_columns)) * lengths @ axes.T)
    return stacked(*groups)


def make_tight_and_broad(n_columns, broad, random_state=None):
    """Make a tight Gaussian within a broad one."""
    rng = np.random.default_rng(random_state)
    return stacked(rng.normal(0, 0.5, (240, n_columns)), rng.normal(0.2, broad, (140, n_columns)))


def make_cross(random_state=None):
    """Make two long Gaussians that cross at right angles."""
    rng = np.random.default_rng(random_state)
    return stacked(rng.normal(0, (5, 0.4), (240, 2)), rng.normal(0, (0.4, 5), (240, 2)))


def make_slabs(random_state=None):
    """Make three long Gaussians beside one another in four columns, in a random direction."""
    rng = np.random.default_rng(random_state)
    X, y = stacked(*(
        rng.normal((0, 2.5 * number, 0, 0), (3.5, 0.6, 0.6, 0.6), (130, 4)) for number in range(3)
    ))
    axes, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    return X @ axes, y


# Other tables of scikit-learn with arguments of their own


def make_four_blobs(random_state=None):
    """Make four blobs of different size in the plane."""
    return make_blobs([300, 200, 150, 80], cluster_std=0.7, random_state=random_state)


# Columns that are not normal


def of_shares(shares, n_samples, rng):
    """Return a cluster for each row, drawn by these shares."""
    return rng.choice(len(shares), n_samples, p=np.divide(shares, np.sum(shares)))


def make_amounts(random_state=None):
    """Make log-normal amounts in six columns, of clusters of half to a fifth of the rows."""
    rng = np.random.default_rng(random_state)
    y = of_shares([5, 3, 2], 1000, rng)
    return np.exp(rng.normal(0, 2.2, (3, 6))[y] + rng.normal(0, 0.6, (1000, 6))), y


def make_purchases(random_state=None):
    """Make customers: days since the last purchase, the number of purchases, and their value."""
    rng = np.random.default_rng(random_state)
    y = of_shares([4, 3, 2, 1], 1500, rng)
    days = rng.exponential(np.array([20, 60, 180, 10])[y])
    number = 1 + rng.poisson(np.array([5, 2, 1, 20])[y])
    value = rng.lognormal(np.array([3, 4, 3, 5])[y], 0.5)
    return np.column_stack([days, number, value]), y


def make_dropouts(random_state=None):
    """Make counts in twelve columns, of which three in ten are zero whatever the cluster."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(3, size=900)
    counts = rng.poisson(rng.gamma(0.7, 8, (3, 12))[y])
    return np.where(rng.random(counts.shape) < 0.3, 0.0, counts), y


def make_ratings(random_state=None):
    """Make answers from one to five in eight columns."""
    rng = np.random.default_rng(random_state)
    y = of_shares([3, 2, 1], 800, rng)
    answers = np.array([
        [0.6, 0.2, 0.1, 0.05, 0.05], [0.1, 0.2, 0.4, 0.2, 0.1], [0.05, 0.05, 0.1, 0.3, 0.5],
    ])
    columns = [
        (rng.random((800, 1)) > profile[y].cumsum(axis=1)).sum(axis=1)
        for profile in (answers, answers[::-1]) for _ in range(4)
    ]
    return 1.0 + np.column_stack(columns), y


def make_proportions(random_state=None):
    """Make six columns that sum to one."""
    rng = np.random.default_rng(random_state)
    y = of_shares([2, 1, 1], 800, rng)
    parts = rng.gamma(0.3 + rng.gamma(1, 4, (3, 6))[y])
    return parts / parts.sum(axis=1, keepdims=True), y


def make_heavy_tails(random_state=None):
    """Make clusters with the tails of Student's t of three degrees of freedom."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(3, size=800)
    return rng.normal(0, 4, (3, 4))[y] + rng.standard_t(3, (800, 4)), y


def make_uniform_noise(random_state=None):
    """Make unit Gaussians in three columns, beside six that are uniform up to a hundred."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(3, size=600)
    blobs = distant_centers(3, 3, 6, rng)[y] + rng.standard_normal((600, 3))
    return np.column_stack([blobs, rng.uniform(0, 100, (600, 6))]), y


# Columns that are skewed, made when the rule for these was settled


def make_lifetimes(random_state=None):
    """Make Weibull variables in five columns."""
    rng = np.random.default_rng(random_state)
    y = of_shares([5, 3, 2], 900, rng)
    scale = np.exp(rng.normal(0, 1, (3, 5)))
    return scale[y] * rng.weibull(rng.uniform(0.8, 3, (3, 5))[y]), y


def make_squares(random_state=None):
    """Make chi-square variables in seven columns, of four clusters."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(4, size=1000)
    return rng.chisquare(rng.uniform(1, 25, (4, 7))[y]), y


def make_waits(random_state=None):
    """Make two waiting times, an amount and a count, of clusters of 6:3:1 rows."""
    rng = np.random.default_rng(random_state)
    y = of_shares([6, 3, 1], 1200, rng)
    first, second = (rng.exponential(np.array(means)[y]) for means in ([5, 20, 80], [40, 10, 10]))
    amount = rng.lognormal(np.array([1, 2, 3])[y], 0.7)
    return np.column_stack([first, second, amount, rng.poisson(np.array([1, 3, 8])[y])]), y


def make_attempts(random_state=None):
    """Make geometric numbers of attempts in eight columns."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(3, size=900)
    return rng.geometric(rng.uniform(0.03, 0.5, (3, 8))[y]).astype(float), y


def make_saturated(random_state=None):
    """Make normal variables in six columns that sensors cut off at both ends."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(3, size=900)
    return np.clip(rng.uniform(0, 10, (3, 6))[y] + 1.6 * rng.normal(size=(900, 6)), 1.5, 8.5), y


def make_spending(random_state=None):
    """Make log-normal amounts in six columns, zero for those who buy nothing of it."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(4, size=1200)
    buys = rng.random((1200, 6)) < rng.uniform(0.3, 0.95, (4, 6))[y]
    return np.where(buys, rng.lognormal(rng.uniform(1, 5, (4, 6))[y], 0.6), 0), y


def make_durations(random_state=None):
    """Make exponential variables in six columns whose means differ by powers of ten."""
    rng = np.random.default_rng(random_state)
    y = rng.integers(4, size=600)
    return rng.exponential(np.exp(rng.normal(0, 2.5, (4, 6)))[y]), y


def cases(make, arguments, **constants):
    """Return a function for each tuple of arguments, named by them."""
    return {
        "_".join(map(str, values)): partial(make, *values, **constants) for values in arguments
    }


TABLES = {
    "flags": cases(make_flags, (
        (1, 2, 6, "flag"), (2, 2, 6, "flag"), (3, 2, 6, "flag+flag"), (5, 2, 6, "flag"),
        (8, 2, 6, "flag"), (3, 2, 6, "rare_flag"), (2, 2, 6, "category"), (4, 3, 5, "flag"),
        (4, 3, 5, "category"), (4, 3, 5, "category+flag"), (8, 3, 5, "category+flag"),
    )),
    "codes": cases(make_codes, (
        (0, 0.1, 4), (0, 0.3, 8), (-1, 0.05, 6), (999, 0.1, 5), (-999, 0.4, 5), (-999, 0.03, 5),
    )),
    "grids": cases(make_grids, [(n,) for n in ("log", "root", "power", "month", "lookup", "place")])
    | {
        "customers_3": make_customers, "customers_4": partial(make_customers, 4),
        "visits": make_visits,
    },
    "categories": {
        "5_flags+categories": partial(make_categories, (3, 2), 5, 2, 0.7),
        "8_flags": partial(make_categories, (2,), 8, 2, 0.6),
        "12_flags": partial(make_categories, (2,), 12, 3, 0.7),
        "10_categories": partial(make_categories, (3, 4), 10, 3, 0.6),
        "20_flags+categories": partial(make_categories, (2, 3), 20, 4, 0.6),
    },
    "rare": cases(make_rare, (
        (n_rare, n_columns) for n_columns in (2, 5, 10) for n_rare in (5, 10, 20, 45, 60, 100)
    )),
    "overlap": cases(make_overlapping, (
        (n_clusters, n_columns, distance, n_samples)
        for n_clusters, n_columns, distance in (
            (2, 1, 2), (2, 2, 2), (2, 5, 3), (2, 5, 4), (2, 10, 3), (3, 1, 3), (3, 2, 3),
            (4, 5, 4), (5, 3, 3),
        )
        for n_samples in (500, 2000)
    )),
    "thin": {
        "spirals_3": partial(make_spirals, 3, 110, 1.1, 0.18),
        "spirals_2": partial(make_spirals, 2, 200, 1.5, 0.3),
        "waves": make_waves, "saws": make_saws, "bars_2": partial(make_bars, 2),
        "bars_4": make_bars, "turned_bars": make_turned_bars, "rings": make_rings,
        "face": make_face, "bowls": make_bowls, "links": make_links, "shell": make_shell,
        "medley": make_medley,
    },
    "noise": {
        "saws": partial(make_noisy, make_saws, 0.08),
        "rings": partial(make_noisy, make_rings, 0.05),
        "bars_3": partial(make_noisy, partial(make_bars, 3), 0.06),
        "face": partial(make_noisy, make_face, 0.03),
        "moons": partial(make_noisy, partial(make_moons, 500, noise=0.06), 0.06),
        "blobs": partial(make_noisy, make_four_blobs, 0.1),
        "scene": partial(make_noisy, make_scene, 0.1),
    },
    "uneven": {
        "iris_thinned": partial(make_thinned, load_iris, 5),
        "wine_thinned": partial(make_thinned, load_wine, 8),
        "crumbs": make_crumbs, "target": make_target, "falling": make_falling,
        "speck": make_speck, "large_and_small": make_large_and_small,
        "dense_and_sparse": make_dense_and_sparse,
    },
    "coarse": {
        "2+2": partial(make_grouped, (2, 2), 2, 24),
        "3+2": partial(make_grouped, (3, 2), 2, 26),
        "3+1": partial(make_grouped, (3, 1), 2, 22),
        "2+2+2": partial(make_grouped, (2, 2, 2), 2, 26),
        "3+2_uneven": partial(make_grouped, (3, 2), 2, 26, (15, 300)),
        "3+2_5d": partial(make_grouped, (3, 2), 5, 16),
        "3+3+2_10d": partial(make_grouped, (3, 3, 2), 10, 18),
    },
    "ellipses": {
        "3": partial(make_ellipses, 3, 2, 4.2, 500),
        "5_uneven": partial(make_ellipses, 5, 2, 4.5, 800, ratio=3),
        "10": partial(make_ellipses, 10, 2, 5, 1500, stretch=3),
        "7_6d_uneven": partial(make_ellipses, 7, 6, 3.2, 336, stretch=2, ratio=20),
        "tight_and_broad_2d": partial(make_tight_and_broad, 2, 4.5),
        "tight_and_broad_10d": partial(make_tight_and_broad, 10, 1.7),
        "cross": make_cross, "slabs": make_slabs,
    },
    "nonnormal": {
        "amounts": make_amounts, "purchases": make_purchases, "dropouts": make_dropouts,
        "ratings": make_ratings, "proportions": make_proportions,
        "heavy_tails": make_heavy_tails, "uniform_noise": make_uniform_noise,
    },
    "skewed": {
        "lifetimes": make_lifetimes, "squares": make_squares, "waits": make_waits,
        "attempts": make_attempts, "saturated": make_saturated, "spending": make_spending,
        "durations": make_durations,
    },
}

if __name__ == "__main__":
    for kind, makers in TABLES.items():
        for case, make in makers.items():
            X, y = make(random_state=0)
            sizes = " ".join(map(str, np.bincount(y[y >= 0])))
            print(f"{kind:10}{case:22}{len(X):6} x {X.shape[1]:<4}noise {np.sum(y < 0):<5}{sizes}")
