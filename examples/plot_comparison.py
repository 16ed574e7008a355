"""
Compared with KMeans, GaussianMixture and HDBSCAN
=================================================

Five data sets of which no clusterer is the best on all: round blobs, ellipses, blobs in noise,
moons beside a disc, and images of digits. Shown are the adjusted Rand index (ARI) with the true
groups, which is 1 if all is right and about 0 by chance, and the processor time that a fit takes.
:doc:`When to use another clusterer </when_a_peer_is_better>` has figures of many more data sets.
"""

# %%
# All get the same rows, as they are: the columns of a data set have the same unit, so that no
# scaler is needed. All but `HDBSCAN` get the true number of clusters; it is given the size of the
# smallest cluster instead, 20 rows. Rows of noise count as a group of their own. Nothing else is
# set but the seeds.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skgmvae import GMVAEClustering


def ellipses(random):
    """Return three Gaussians that overlap, long in different directions."""
    y = random.choice(3, size=900, p=[0.5, 0.3, 0.2])
    X, _ = make_blobs(900, 2, centers=[[0, 0]], random_state=0)
    shapes = np.array([[[3, 0], [0, 0.5]], [[0.6, 0], [1.2, 1.8]], [[1, 0.5], [0, 0.4]]])
    means = np.array([[0, 0], [2.5, 4.5], [-4, 3.5]])
    return np.einsum("ni,nij->nj", X, shapes[y]) + means[y], y


def blobs_in_noise(random):
    """Return three blobs and 200 rows of noise all around them, whose group is -1."""
    X, y = make_blobs(600, 2, centers=[[0, 0], [5, 1], [2, 5]], cluster_std=0.5, random_state=0)
    noise = random.uniform(-4, 9, (200, 2))
    return np.concatenate([X, noise]), np.append(y, np.full(200, -1))


def moons_and_disc(random):
    """Return two moons, and a disc that touches one of them."""
    X, y = make_moons(700, noise=0.09, random_state=0)
    disc = random.normal((2.75, 0.62), (0.22, 0.3), (250, 2))
    return np.concatenate([X, disc]), np.append(y, np.full(250, 2))


random = np.random.default_rng(0)
data = {
    "round blobs": make_blobs(900, 2, centers=4, cluster_std=1.2, random_state=3),
    "ellipses": ellipses(random),
    "blobs in noise": blobs_in_noise(random),
    "moons and disc": moons_and_disc(random),
    "digits, 64 columns": load_digits(return_X_y=True),
}


def clusterers(n_clusters):
    """Return the clusterers that are compared."""
    return (
        KMeans(n_clusters, n_init=10, random_state=0),
        GaussianMixture(n_clusters, random_state=0),
        HDBSCAN(min_cluster_size=20, copy=True),
        GMVAEClustering(n_clusters, random_state=0),
    )


# %%
# Digits are drawn by their first two principal components. Gray rows are those that are called
# noise.

COLORS = np.array([*(f"C{k}" for k in range(10)), "0.75"])  # the last is that of -1

figure, axes = plt.subplots(5, 4, figsize=(11, 12.5), layout="constrained")
for (name, (X, y)), row in zip(data.items(), axes, strict=True):
    picture = PCA(2).fit_transform(X) if X.shape[1] > 2 else X
    row[0].set_ylabel(name, fontsize=13)
    for clusterer, ax in zip(clusterers(len(np.unique(y[y >= 0]))), row, strict=True):
        start = time.process_time()
        labels = clusterer.fit_predict(X)
        seconds = time.process_time() - start
        ax.scatter(*picture.T, s=5, linewidth=0, color=COLORS[labels])
        ax.set(
            xticks=[], yticks=[],
            title=f"{type(clusterer).__name__}\n"
            f"ARI {adjusted_rand_score(y, labels):.2f}, "
            f"{f'{seconds:.1f} s' if seconds >= 1 else f'{1000 * seconds:.0f} ms'}",
        )
figure.savefig("comparison.png", dpi=100)
plt.show()

# %%
# - `KMeans` and `GaussianMixture` take less than half a second. Where their assumptions hold,
#   networks, which take seconds, gain nothing.
# - `HDBSCAN` is the only one that finds noise. It is also the best on the moons, since rows are
#   dense in them and rare between them, and it needs no number of clusters. `GMVAEClustering` puts
#   every row into a cluster, and gives a part of a moon to the disc here. :doc:`Its density
#   </auto_examples/plot_outliers>` tells rows that are far from all others.
# - The clusters of the digits have no simple shape, and there is no empty space between them. There
#   `GMVAEClustering` is far ahead of the others.
