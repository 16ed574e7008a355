"""
Sensors: a rare fault as a cluster of its own
=============================================

A pump idles, works or runs at full load, and five sensors are read. In two of a hundred readings a
bearing is worn: the pump is warmer and vibrates more than it should at this load, though at full
load both would be ordinary. Nobody has labeled the readings, and sensors are silent at times.
"""

# %%
# Temperature and vibration grow with the load, so that the readings of a state lie along a curve.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering
from skgmvae.plotting import ClusterProfileDisplay

SENSORS = ["speed", "temperature", "vibration", "current", "pressure"]
STATES = np.array(["working", "idle", "full load", "worn"])
LOWEST, HIGHEST = np.array([[0.35, 0.0, 0.85, 0.35], [0.65, 0.1, 1.0, 0.65]])


def readings(n_rows, seed):
    """Return readings of five sensors, of which some are missing, and the state of the pump."""
    random = np.random.default_rng(seed)
    state = random.choice(4, size=n_rows, p=[0.5, 0.3, 0.18, 0.02])
    load = random.uniform(LOWEST[state], HIGHEST[state])
    is_worn = state == 3
    X = np.column_stack([
        3000 * np.sqrt(load),
        40 + 50 * load + 14 * is_worn,
        1 + 5 * load**2 + 3 * is_worn,
        3 + 9 * load,
        6 - 2 * load**2,
    ])
    X += random.normal(0, [60, 1.5, 0.25, 0.3, 0.1], X.shape)
    X[random.random(X.shape) < 0.02] = np.nan
    return pd.DataFrame(X, columns=SENSORS), state


X, state = readings(1500, seed=0)
print(X.describe().loc[["count", "min", "max"]].round(1))

# %%
# Rows with missing values go in as they are. The rarest cluster is the last one.

clusterer = GMVAEClustering(4, random_state=0).fit(X)
found = {"GMVAEClustering": clusterer.labels_}
for peer in (KMeans(4, n_init=10, random_state=0), GaussianMixture(4, random_state=0)):
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), peer)
    found[type(peer).__name__] = pipeline.fit_predict(X)
for name, labels in found.items():
    print(f"\n{name}, adjusted Rand index {adjusted_rand_score(state, labels):.3f}")
    print(pd.crosstab(STATES[state], labels, rownames=["state"], colnames=["cluster"]))

# %%
# New readings get probabilities, also if a sensor is silent. Here is every reading of the next
# shift that is more likely of a worn bearing than not, with what the pump really was.

X_new, state_new = readings(500, seed=1)
worn = clusterer.predict_proba(X_new)[:, 3]
alarms = X_new[worn > 0.5].round(1).assign(probability=worn[worn > 0.5].round(2))
print(alarms.assign(state=STATES[state_new[worn > 0.5]]))
print(f"{(state_new == 3).sum()} of the new readings are of a worn bearing")

# %%
# **Left:** the two sensors that reveal the fault. A worn pump at work is nearly as warm, and
# vibrates as much, as a good one at full load, so that no threshold of one sensor would do.
# **Right:** all sensors of all clusters, in standard deviations from the mean. The last cluster is
# warm and vibrates, although its speed and its current are those of a pump at work.

figure, (plane, profile) = plt.subplots(
    1, 2, figsize=(11, 4.2), width_ratios=(1, 1.3), layout="constrained"
)
for cluster in range(4):
    rows = X[clusterer.labels_ == cluster]
    plane.scatter(rows["temperature"], rows["vibration"], s=6, label=f"cluster {cluster}")
plane.set(xlabel="temperature, °C", ylabel="vibration, mm/s")
plane.legend()
ClusterProfileDisplay.from_estimator(clusterer, X, ax=profile)
figure.savefig("sensors.png", dpi=110)
plt.show()
