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
# Fit halves of scikit-learn's digits and wine data, by two splits. A few epochs are enough for a
# comparison.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split

from skgmvae import GMVAEClustering
from skgmvae.exceptions import SamplesWarning

warnings.simplefilter("ignore", ConvergenceWarning)  # the fits are kept short
warnings.simplefilter("ignore", SamplesWarning)  # no samples are drawn here


def sweep(X, y, candidates, max_iter):
    """Return stability and agreement with the labels for each number of clusters and split."""
    stability, truth = [], []
    for n_clusters in candidates:
        agreements, scores = [], []
        for seed in range(2):
            labels = [
                GMVAEClustering(n_clusters, max_iter=max_iter, random_state=seed)
                .fit(half)
                .predict(X)
                for half in train_test_split(X, test_size=0.5, random_state=seed)
            ]
            agreements.append(adjusted_rand_score(*labels))
            scores.append(np.mean([adjusted_rand_score(y, found) for found in labels]))
        stability.append(agreements)
        truth.append(scores)
    return np.array(stability), np.array(truth)


# %%
# Lines mark the numbers that are about as stable as the best; the band is between the two splits.
# Here it is one number each. Where it is a range, choose by what you need, and look at
# :doc:`samples and profiles </auto_examples/plot_displays>` of the clusters.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, name, load, candidates, max_iter in (
    (axes[0], "digits", load_digits, (6, 8, 10, 12, 16), 10),
    (axes[1], "wine", load_wine, (2, 3, 4, 5), 40),
):
    X, y = load(return_X_y=True)
    stability, truth = sweep(X, y, candidates, max_iter)
    mean = stability.mean(axis=1)
    stable = np.array(candidates)[mean > mean.max() - 0.05]
    ax.fill_between(
        candidates, stability.min(axis=1), stability.max(axis=1), alpha=0.2, label="two splits"
    )
    ax.plot(candidates, mean, "o-", label="stability (no labels)")
    ax.plot(candidates, truth.mean(axis=1), "s--", color="gray", label="ARI with the true labels")
    for n_clusters in stable:
        label = "about as stable as the best" if n_clusters == stable[0] else None
        ax.axvline(n_clusters, linestyle=":", color="black", label=label)
    ax.set(
        title=f"{name}: {' or '.join(map(str, stable))} clusters", xlabel="n_clusters",
        ylim=(0, 1), xticks=candidates,
    )
    ax.legend(loc="lower right")
    print(f"{name}: stable at {stable}, most at {candidates[mean.argmax()]}; "
          f"classes: {len(np.unique(y))}")
axes[0].set_ylabel("adjusted Rand index")
figure.savefig("n_clusters.png", dpi=110)
plt.show()
