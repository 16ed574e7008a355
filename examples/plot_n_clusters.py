"""
Choosing the number of clusters
===============================

A sweep over `n_clusters` with a criterion that needs no labels, **stability** (Lange et al., Neural
Computation 16, 2004): two models are fitted to two halves of the data and predict the labels of all
rows; where K is right, they agree. The figure also shows the agreement with the true labels, which
plays no part in the choice.

The accuracy of the max-probability protocol is no such criterion, since it rises with K.
"""

# %%
# Fit halves of scikit-learn's digits and wine data. A few epochs are enough for a comparison.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split

from skgmvae import GMVAEClustering

warnings.simplefilter("ignore", ConvergenceWarning)  # the fits are kept short


def sweep(X, y, candidates, n_splits, max_iter):
    """Return stability and agreement with the labels for each number of clusters."""
    stability, truth = [], []
    for n_clusters in candidates:
        agreements, scores = [], []
        for seed in range(n_splits):
            labels = [
                GMVAEClustering(n_clusters, max_iter=max_iter, random_state=seed)
                .fit(half)
                .predict(X)
                for half in train_test_split(X, test_size=0.5, random_state=seed)
            ]
            agreements.append(adjusted_rand_score(*labels))
            scores += [adjusted_rand_score(y, found) for found in labels]
        stability.append(np.mean(agreements))
        truth.append(np.mean(scores))
    return stability, truth


# %%
# The most stable K is marked.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, name, load, candidates, n_splits, max_iter in (
    (axes[0], "digits", load_digits, (6, 8, 9, 10, 11, 12, 16), 1, 10),
    (axes[1], "wine", load_wine, (2, 3, 4, 5, 6), 3, 40),
):
    X, y = load(return_X_y=True)
    stability, truth = sweep(X, y, candidates, n_splits, max_iter)
    best = candidates[int(np.argmax(stability))]
    ax.plot(candidates, stability, "o-", label="stability (no labels)")
    ax.plot(candidates, truth, "s--", color="gray", label="ARI with the true labels")
    ax.axvline(best, linestyle=":", color="black")
    ax.set(title=f"{name}: {best} clusters", xlabel="n_clusters", ylim=(0, 1), xticks=candidates)
    ax.legend(loc="lower right")
    print(f"{name}: most stable at {best}; classes: {len(np.unique(y))}")
axes[0].set_ylabel("adjusted Rand index")
figure.savefig("n_clusters.png", dpi=110)
plt.show()
