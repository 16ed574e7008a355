"""
A pipeline, a grid search, and a scorer of your own
===================================================

Settings are compared as for any estimator of scikit-learn: a `Pipeline` goes into a `GridSearchCV`.
What needs thought is the **score**, since a clusterer has no target. Three scores are compared here
on scikit-learn's wines, of which only a few have labels.
"""

# %%
# The data are 178 wines of three cultivars. Suppose that somebody has tasted every fourth of them;
# the others have the label -1, which stands for "not known".

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from skgmvae import GMVAEClustering
from skgmvae.exceptions import SamplesWarning

warnings.simplefilter("ignore", SamplesWarning)  # no samples are drawn here

X, cultivar = load_wine(return_X_y=True)
y = np.where(np.arange(len(X)) % 4 == 0, cultivar, -1)
print(f"{(y >= 0).sum()} of {len(X)} wines have a label")

# %%
# A scorer is a function of a fitted estimator, rows and labels. The first one compares clusters
# with labels where these are known. The second one needs no labels: the silhouette coefficient is
# large if rows are nearer to their own cluster than to the next, so that it prefers round clusters.


def agreement(estimator, X, y):
    """Return the adjusted Rand index of the rows that have a label."""
    is_known = y >= 0
    return adjusted_rand_score(y[is_known], estimator.predict(X[is_known]))


def silhouette(estimator, X, y=None):
    """Return the silhouette coefficient, in the columns that the last step gets."""
    labels = estimator.predict(X)
    if len(np.unique(labels)) == 1:
        return -1.0
    return silhouette_score(estimator[:-1].transform(X), labels)


# %%
# The third one is the estimator's own `score`, the bound on the log-density of held-out rows, which
# is also what a search compares if it is given no scorer. It is in the units of the last step: it
# may compare numbers of clusters, but not scalers.
#
# With ``scale=None`` the clusterer takes the columns as the scaler has made them. The search fits
# each pair of a scaler and a number of clusters to two thirds of the rows, three times, and `refit`
# names the score that decides.

pipeline = Pipeline([
    ("scaler", StandardScaler()),
    ("clusterer", GMVAEClustering(scale=None, random_state=0)),
])
candidates = [2, 3, 4, 5]
search = GridSearchCV(
    pipeline,
    {"scaler": [StandardScaler(), RobustScaler()], "clusterer__n_clusters": candidates},
    scoring={"agreement": agreement, "silhouette": silhouette, "bound": Pipeline.score},
    refit="agreement",
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
).fit(X, y)
print(search.best_params_)
print(f"adjusted Rand index of all wines: {adjusted_rand_score(cultivar, search.predict(X)):.3f}")

# %%
# Agreement with few labels is enough to find three clusters, and so is the silhouette coefficient,
# since the clusters of wines are round. The bound says how well rows are described, not how well
# clusters are separated: it is nearly the same for all numbers. Without labels, :doc:`stability
# </auto_examples/plot_n_clusters>` is the better choice.

results = search.cv_results_
of_scaler = np.array([type(scaler).__name__ for scaler in results["param_scaler"]])
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, name in zip(axes, search.scorer_, strict=True):
    for scaler, style in (("StandardScaler", "o-"), ("RobustScaler", "s--")):
        mean, deviation = (
            results[f"{value}_test_{name}"][of_scaler == scaler] for value in ("mean", "std")
        )
        ax.errorbar(candidates, mean, deviation, fmt=style, capsize=3, label=scaler)
    ax.set(title=name, xlabel="n_clusters", xticks=candidates)
axes[0].legend()
axes[2].set_ylabel("nats")
figure.savefig("grid_search.png", dpi=110)
plt.show()
