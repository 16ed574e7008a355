"""
Outliers by density
===================

A machine that idles, works or is being cleaned, and four sensors. A fault is rare, and no sensor
alone shows it: every value is an ordinary one, but the values do not go together. The **density**
shows it: `score_samples` is low where the model has seen few rows.
"""

# %%
# The temperature grows with the load and the vibration with its square, so that the rows of a mode
# lie on a curve. In two of a hundred rows the temperature is that of another load.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering

SENSORS = "load", "temperature", "vibration", "current"


def readings(n_rows, seed):
    """Return rows of load, temperature, vibration and current, and which of them are faults."""
    random = np.random.default_rng(seed)
    mode = random.choice(3, size=n_rows, p=[0.3, 0.5, 0.2])
    load = random.uniform(np.array([0.0, 0.3, 0.7])[mode], np.array([0.15, 1.0, 0.9])[mode])
    is_fault = random.random(n_rows) < 0.02
    heating = np.where(is_fault, random.permutation(load), load)
    X = np.column_stack([
        100 * load,
        20 + 60 * heating - 25 * (mode == 2),
        2 + 8 * load**2 + 3 * (mode == 2),
        0.5 + 4 * np.sqrt(load),
    ])
    return X + random.normal(0, [2, 1.5, 0.3, 0.1], X.shape), is_fault


X, _ = readings(2000, seed=0)
X_new, is_fault = readings(4000, seed=1)
print(f"{is_fault.sum()} of {len(X_new)} new rows are faults")

# %%
# Fit to rows that contain faults too: nobody has removed them, and no label is used. A density
# takes longer to learn than clusters, so that the networks are trained longer than by default.

clusterer = GMVAEClustering(3, max_iter=100, random_state=0).fit(X)
density = clusterer.score_samples(X_new, n_draws=64)

# %%
# Compare the ranking by density with those of scikit-learn. The area under the ROC curve is the
# probability that a fault has a lower score than another row; the average precision is large if the
# lowest scores are those of faults.

peers = {
    "GaussianMixture": GaussianMixture(3, random_state=0),
    "IsolationForest": IsolationForest(random_state=0),
    "LocalOutlierFactor": LocalOutlierFactor(novelty=True),
}
scores = {"GMVAEClustering": density} | {
    name: make_pipeline(StandardScaler(), peer).fit(X).score_samples(X_new)
    for name, peer in peers.items()
}
print(f"{'':20}area  average precision")
for name, score in scores.items():
    area, precision = (f(is_fault, -score) for f in (roc_auc_score, average_precision_score))
    print(f"{name:20}{area:.3f}  {precision:.3f}")

# %%
# `LocalOutlierFactor` is the best of these: if outliers are all that is wanted, take it, as it is
# also faster. `IsolationForest`, which looks at one sensor at a time, is far behind. What speaks
# for the clusterer is that the same model says which mode the machine is in, and which values it
# expects: `reconstruct` shows which sensor is wrong, in most of the faults.

flagged = density < np.quantile(clusterer.score_samples(X, n_draws=64), 0.02)
errors = X_new - clusterer.reconstruct(X_new)
found = flagged & is_fault
suspect = (np.abs(errors) / errors.std(axis=0))[found].argmax(axis=1)
print(f"{flagged.sum()} rows are flagged, of which {found.sum()} are faults")
for sensor, count in zip(SENSORS, np.bincount(suspect, minlength=4), strict=True):
    print(f"{sensor}: the largest deviation in {count} of these faults")

# %%
# **Left:** two of the sensors. Faults that are not flagged are those whose temperature happens to
# be an ordinary one. **Right:** how many rows have which density.

COLORS = np.array(["#1f6fb4", "#e07b00", "#2b9457"])
figure, (plane, histogram) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
plane.scatter(*X_new[:, :2].T, s=5, linewidth=0, color=COLORS[clusterer.predict(X_new)])
plane.scatter(
    *X_new[flagged, :2].T, s=45, facecolor="none", edgecolor="black", label="flagged"
)
plane.scatter(*X_new[is_fault, :2].T, s=25, marker="x", color="#b2182b", label="faults")
plane.set(xlabel="load, %", ylabel="temperature, °C", title="Colors are clusters: the modes")
plane.legend(loc="lower left")
bins = np.linspace(max(density.min(), -60), density.max(), 50)
for rows, name, color in ((~is_fault, "no fault", "0.6"), (is_fault, "fault", "#b2182b")):
    histogram.hist(density[rows].clip(bins[0]), bins, color=color, alpha=0.7, label=name)
histogram.axvline(density[flagged].max(), color="black", linestyle=":", label="flagged below")
histogram.set(xlabel="log-density, nats", ylabel="rows", yscale="log")
histogram.legend(loc="upper left")
figure.savefig("outliers.png", dpi=110)
plt.show()
