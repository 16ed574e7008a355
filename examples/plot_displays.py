"""
Looking at clusters
===================

The displays of :mod:`skgmvae.plotting` for images (scikit-learn's digits) and for a table (wine).
Labels are used by the last display only.
"""

# %%
# Fit the models. The first clusterer is given the shape of an image, so that the displays draw rows
# as images. The second is the last step of a pipeline, which the displays accept as well.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

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
scaled = make_pipeline(RobustScaler(), GMVAEClustering(3, scale=None, random_state=0))
wines = scaled.fit(wine.data)

# %%
# The course of training: the three terms that the bound subtracts (left), and the bound with its
# reconstruction term (right).

LossCurveDisplay.from_estimator(digits).figure_.savefig("loss_curve.png", dpi=120)

# %%
# The latent space, projected onto its first two principal components, with the mixture components
# at w = 0 as ellipses.

LatentSpaceDisplay.from_estimator(digits, X).figure_.savefig("latent_space.png", dpi=120)

# %%
# Samples from each cluster, and the members with the highest and the lowest probability.

ClusterSamplesDisplay.from_estimator(digits).figure_.savefig("cluster_samples.png", dpi=120)
ExemplarsDisplay.from_estimator(digits, X).figure_.savefig("exemplars.png", dpi=120)

# %%
# For a table: the columns in which each cluster differs from the rest.

ClusterProfileDisplay.from_estimator(wines, wine.data).figure_.savefig("profiles.png", dpi=120)
ExemplarsDisplay.from_estimator(wines, wine.data).figure_.savefig("exemplars_wine.png", dpi=120)

# %%
# The clusters compared with known labels.

ClusterMatrixDisplay.from_estimator(digits, X, y).figure_.savefig("cluster_matrix.png", dpi=120)
plt.show()
