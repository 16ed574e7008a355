"""
Clustering handwritten digits
=============================

Ten clusters of the 1,797 digits that scikit-learn ships, compared with `KMeans` and
`GaussianMixture` on the same rows. Labels are used for the table only, never for fitting.
"""

# %%
# Fit the model, which needs no scaling. It is told that rows are images, and that a digit is the
# same if it is rotated or shifted a little. (``verbose=1`` would print about ten lines of
# progress.)

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

from skgmvae import GMVAEClustering
from skgmvae.metrics import clustering_accuracy, max_probability_accuracy
from skgmvae.plotting import ClusterSamplesDisplay

X, y = load_digits(return_X_y=True)  # 8 x 8 pixels, values 0 to 16

start = time.perf_counter()
gmvae = GMVAEClustering(
    n_clusters=10, image_shape=(8, 8), networks="conv", perturbation="both", random_state=0
).fit(X)
print(f"fitted in {time.perf_counter() - start:.0f} s\n")

# %%
# Compare the clusterings. "Hungarian" matches clusters and digits one to one. "max-prob." is the
# paper's protocol: each cluster takes the label of its row with the highest probability.

kmeans = KMeans(n_clusters=10, n_init=10, random_state=0).fit(X)
mixture = GaussianMixture(n_components=10, reg_covar=0.1, n_init=3, random_state=0).fit(X)

print(f"{'':18}Hungarian  max-prob.    ARI    NMI")
for model, scores in (
    (gmvae, gmvae.decision_function(X)),
    (kmeans, -kmeans.transform(X)),
    (mixture, mixture.predict_proba(X)),
):
    labels = model.predict(X)
    print(
        f"{type(model).__name__:18}"
        f"{clustering_accuracy(y, labels):9.3f}  {max_probability_accuracy(y, scores):9.3f}  "
        f"{adjusted_rand_score(y, labels):5.3f}  {normalized_mutual_info_score(y, labels):5.3f}"
    )

# %%
# Draw ten new digits from each cluster; each row of the figure is a cluster. Without observation
# noise a sample is the mean of p(y|x). Nothing keeps that within the range of the data, so that it
# is clipped to it: white is 0 and black is 16. Pixels are interpolated, since there are few.

new_digits, _ = gmvae.sample(100, cluster=np.arange(10).repeat(10), observation_noise=False)
display = ClusterSamplesDisplay(
    new_digits.clip(0, 16).reshape(10, 10, 64), cluster_counts=gmvae.cluster_counts_
).plot(image_shape=(8, 8))
for image in display.ax_.images:
    image.set_interpolation("bilinear")
display.figure_.suptitle("Ten samples from each cluster", fontsize=10)
display.figure_.savefig("digits_samples.png", dpi=120)
print("\nwrote digits_samples.png")
plt.show()
