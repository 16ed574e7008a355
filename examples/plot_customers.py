"""
Customers: numbers, categories, and gaps
========================================

A table as it comes: numbers in different units, a yes/no column, a category, some values missing,
and a kind of customer that is rare. It goes into `fit` as it is, and what the model returns is a
table of the same columns, whole numbers as decimals. :doc:`The data you have </data>` says how each
kind of column is treated.
"""

# %%
# Four kinds of customers: families, students, business customers, and 3 % resellers, who order many
# times as much. Subscribing to the newsletter is independent of the kind of customer.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering
from skgmvae.plotting import ClusterProfileDisplay

random = np.random.default_rng(0)
kind = random.choice(4, size=1200, p=[0.44, 0.33, 0.2, 0.03])
usual = random.random(1200) < 0.8
pays_by = np.where(usual, np.array([0, 1, 2, 2])[kind], random.integers(3, size=1200))
X = pd.DataFrame({
    "age": random.normal(np.array([42, 23, 48, 45])[kind], 4),
    "orders": random.poisson(np.array([12, 5, 30, 900])[kind]),
    "basket": random.lognormal(np.array([4.0, 3.0, 5.5, 6.5])[kind], 0.3),
    "pays_by": np.array(["card", "transfer", "invoice"], dtype=object)[pays_by],
    "newsletter": random.random(1200) < 0.5,
})
X = X.mask(random.random(X.shape) < 0.05)  # five of a hundred entries are not known
X["newsletter"] = X["newsletter"].astype("boolean")
X["orders"], X["basket"] = np.log(X["orders"] + 1), np.log(X["basket"])
print(X.head())

# %%
# Amounts that differ by factors are better as logarithms; nothing else has to be prepared. The
# largest cluster comes first; the last one holds the resellers.

clusterer = GMVAEClustering(4, random_state=0).fit(X)
print(f"adjusted Rand index {adjusted_rand_score(kind, clusterer.labels_):.3f}")
print(clusterer.cluster_counts_)

# %%
# The centers, in the form of the table:

print(clusterer.cluster_centers_.round(2))

# %%
# What distinguishes the clusters, in standard deviations from the mean of all: not the newsletter.

ClusterProfileDisplay.from_estimator(clusterer, X)
plt.savefig("customers.png", dpi=100, bbox_inches="tight")
plt.show()

# %%
# What is missing is filled in by what is probable given the rest of the row, and new customers of a
# kind can be drawn:

imputed = X.fillna(clusterer.reconstruct(X))
print(int(imputed.isna().sum().sum()), "entries are missing now")
new_customers, _ = clusterer.sample(3, cluster=3)
print(new_customers.round(2))
