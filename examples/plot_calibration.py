"""
Are the probabilities right?
============================

A clusterer is *calibrated* if of the rows that it puts into a cluster with a probability of 80 %,
80 % are in the right one. It takes labels to see that; no label is used in fitting. Two data sets
show what can be expected, and what cannot:

- **two Gaussians that overlap**, where the true probabilities are known, and are those of a mixture
  of two normal distributions;
- **scikit-learn's digits**, where nobody knows the true distribution.

`GaussianMixture` is shown for comparison: it is the true model of the first, not of the second.
:doc:`What the probabilities mean </probabilities>` explains what is seen here.
"""

# %%
# Draw 600 rows from two Gaussians whose means are three standard deviations apart, and many more on
# which probabilities are judged. The digits are judged on the rows that the models were fitted to;
# `GaussianMixture` gets their first 20 principal components, with which it is more accurate
# than with all 64 pixels.

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import confusion_matrix
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

from skgmvae import GMVAEClustering

DISTANCE = 3


def two_gaussians(n_rows, random):
    """Return rows in the plane, and which of the two Gaussians each was drawn from."""
    y = random.integers(2, size=n_rows)
    X = random.standard_normal((n_rows, 2))
    X[:, 0] += DISTANCE * y
    return X, y


random = np.random.default_rng(0)
X, _ = two_gaussians(600, random)
X_new, y_new = two_gaussians(20_000, random)
images, digits = load_digits(return_X_y=True)

gaussians = {
    "GMVAEClustering": GMVAEClustering(2, random_state=0).fit(X),
    "GaussianMixture": GaussianMixture(2, random_state=0).fit(X),
}
mixture = GaussianMixture(10, n_init=5, random_state=0)
of_digits = {
    "GMVAEClustering": GMVAEClustering(10, random_state=0).fit(images),
    "GaussianMixture": make_pipeline(PCA(20, random_state=0), mixture).fit(images),
}

# %%
# A row is right if its cluster is the one that the Hungarian algorithm pairs with its label. The
# largest probability of a row says how often that should be so. The **expected calibration error**
# (ECE) is the mean difference between the two, over bins of that probability.


def classes_of_clusters(labels, y):
    """Return the class that is paired with each cluster."""
    return linear_sum_assignment(confusion_matrix(labels, y), maximize=True)[1]


def largest_and_right(model, X, y):
    """Return the largest probability of each row, and whether its cluster is the right one."""
    probabilities = model.predict_proba(X)
    labels = probabilities.argmax(axis=1)
    return probabilities.max(axis=1), classes_of_clusters(labels, y)[labels] == y


def calibration_error(largest, right, n_bins=15):
    """Return the mean difference between probability and accuracy, over bins of equal width."""
    bins = np.minimum((n_bins * largest).astype(int), n_bins - 1)
    return np.abs(np.bincount(bins, largest - right)).sum() / len(right)


# %%
# **Left:** the true probability of the second Gaussian depends on the first column only. Both
# models come as near to it as 600 rows allow. **Center:** the reliability diagram of the same. Each
# point is a bin of rows by their largest probability, with the standard error of its accuracy; bins
# of fewer than five rows are left out. Points on the diagonal are calibrated, and points below it
# too certain. **Right:** the reliability diagram of the digits. Below are the numbers of rows.

COLORS = {"GMVAEClustering": "#1f5fa8", "GaussianMixture": "#e07b00"}
MARKERS = {"GMVAEClustering": "o", "GaussianMixture": "D"}
BINS = np.linspace(0, 1, 11)

figure, axes = plt.subplots(
    2, 3, figsize=(13, 6.2), height_ratios=(3, 1), sharex="col", layout="constrained"
)


def draw_reliability(diagram, histogram, name, largest, right):
    """Draw the accuracy in bins of the largest probability, and the number of rows in each."""
    counts = np.histogram(largest, BINS)[0]
    accuracy, probability = calibration_curve(right, largest, n_bins=len(BINS) - 1)
    enough = counts[counts > 0] >= 5
    accuracy, probability = accuracy[enough], probability[enough]
    error = np.sqrt(accuracy * (1 - accuracy) / counts[counts >= 5])
    label = f"{name}, ECE {calibration_error(largest, right):.3f}"
    diagram.errorbar(
        probability, accuracy, error, color=COLORS[name], marker=MARKERS[name], markersize=7,
        linewidth=1.5, capsize=3, label=label, alpha=0.85,
    )  # fmt: skip
    histogram.stairs(counts, BINS, color=COLORS[name], linewidth=2)


truth, histogram = axes[:, 0]
for name, model in gaussians.items():
    probabilities = model.predict_proba(X_new[:600])
    second = classes_of_clusters(probabilities.argmax(axis=1), y_new[:600]).argmax()
    truth.plot(
        X_new[:600, 0], probabilities[:, second], MARKERS[name], markersize=4, alpha=0.5,
        markeredgewidth=0, color=COLORS[name], label=name,
    )  # fmt: skip
position = np.linspace(-2, 5, 200)
of_second = expit(DISTANCE * position - DISTANCE**2 / 2)
truth.plot(position, of_second, color="black", linewidth=1.5, label="true probability")
truth.set(title="Two Gaussians: the truth", ylabel="probability of the second", xlim=(-2, 5))
for number, name, color in ((0, "first Gaussian", "0.75"), (1, "second Gaussian", "0.45")):
    histogram.hist(X_new[y_new == number, 0], 60, alpha=0.6, color=color, label=name)
histogram.set(xlabel="first column", ylabel="rows")
histogram.legend(frameon=False, fontsize="small", loc="upper center")
histogram.set_ylim(0, 900)

for (diagram, histogram), title, models, judged, labels in (
    (axes[:, 1], "Two Gaussians: 20,000 new rows", gaussians, X_new, y_new),
    (axes[:, 2], "Digits: 1,797 images", of_digits, images, digits),
):
    diagram.plot([0, 1], [0, 1], linestyle=":", color="black", label="calibrated")
    for name, model in models.items():
        largest, right = largest_and_right(model, judged, labels)
        draw_reliability(diagram, histogram, name, largest, right)
        print(
            f"{title}: {name} is right in {right.mean():.3f}; mean largest probability "
            f"{largest.mean():.3f}"
        )
    diagram.set(title=title, ylabel="share in the right cluster", xlim=(0.3, 1.03), ylim=(0, 1.03))
    histogram.set(xlabel="largest probability", ylabel="rows", yscale="log")
    diagram.legend(loc="upper left", frameon=False)
truth.legend(loc="upper left", frameon=False)
for ax in axes.flat:
    ax.spines[["top", "right"]].set_visible(False)
figure.savefig("calibration.png", dpi=120)
plt.show()

# %%
# On the digits `GaussianMixture` is nearly certain of every row, and wrong in more than one of six.
# `GMVAEClustering` is fitted to the shares of the clusters among the neighbors of each row, and is
# therefore uncertain of rows near a border. Most of the calibration error that is left is due to
# rows of which it is certain, as their neighbors are in the same cluster. The largest group:

model = of_digits["GMVAEClustering"]
probabilities, labels = model.predict_proba(images), model.predict(images)
classes = classes_of_clusters(labels, digits)
table = confusion_matrix(digits, classes[labels])
np.fill_diagonal(table, 0)
digit, cluster = np.unravel_index(table.argmax(), table.shape)
group = (digits == digit) & (classes[labels] == cluster)
nearest = NearestNeighbors(n_neighbors=10).fit(images).kneighbors(return_distance=False)
print(
    f"{group.sum()} images of {digit} are in the cluster of {cluster}, with a mean probability of "
    f"{probabilities[group].max(axis=1).mean():.2f}; {group[nearest[group]].mean():.0%} of their "
    "nearest neighbors are among these images"
)

figure, axes = plt.subplots(1, 10, figsize=(10, 1.3), layout="constrained")
for ax, image in zip(axes, images[group], strict=False):
    ax.imshow(image.reshape(8, 8), cmap="gray_r")
    ax.axis("off")
figure.suptitle(f"Images of {digit} in the cluster of {cluster}", fontsize="medium")
figure.savefig("calibration_group.png", dpi=120)
plt.show()

# %%
# These images are more similar to each other than to any others, so that they change clusters as a
# group, or not at all. A perturbation or a vote among neighbors does not make their cluster less
# certain. **Only labels can show such errors.**
