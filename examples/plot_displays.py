"""
Looking at clusters
===================

The displays of :mod:`skgmvae.plotting`, on images (scikit-learn's digits) and on a table (wine).
Labels are used by the last display only.
"""

# %%
# Fit. Digits are given as images of 8 x 8 pixels, so that the displays draw them as such.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits, load_wine

from skgmvae import GMVAEClustering
from skgmvae.plotting import (
    ClusterMatrixDisplay,
    ClusterProfileDisplay,
    ClusterSamplesDisplay,
    ExemplarsDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
)

X, y = load_digits(return_X_y=True)
digits = GMVAEClustering(10, image_shape=(8, 8), random_state=0).fit(X)

wine = load_wine(as_frame=True)
wines = GMVAEClustering(3, random_state=0).fit(wine.data)

# %%
# How the fit went: the three terms that the bound subtracts, and on the right what it is made of.

LossCurveDisplay.from_estimator(digits).figure_.savefig("loss_curve.png", dpi=120)

# %%
# The latent space, in the plane of most variance, and the components as ellipses at w = 0.

LatentSpaceDisplay.from_estimator(digits, X).figure_.savefig("latent_space.png", dpi=120)

# %%
# What the model makes of each cluster, and the members that it is most and least sure of.

ClusterSamplesDisplay.from_estimator(digits).figure_.savefig("cluster_samples.png", dpi=120)
ExemplarsDisplay.from_estimator(digits, X).figure_.savefig("exemplars.png", dpi=120)

# %%
# In a table, what sets a cluster apart is a matter of columns.

ClusterProfileDisplay.from_estimator(wines, wine.data).figure_.savefig("profiles.png", dpi=120)
ExemplarsDisplay.from_estimator(wines, wine.data).figure_.savefig("exemplars_wine.png", dpi=120)

# %%
# Clusters against known labels.

ClusterMatrixDisplay.from_estimator(digits, X, y).figure_.savefig("cluster_matrix.png", dpi=120)
plt.show()
