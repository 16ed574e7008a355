"""
Documents: word frequencies as sparse rows
==========================================

Five hundred short texts of five subjects, straight from `TfidfVectorizer` into `fit`, as a sparse
matrix of a thousand columns. The texts are what every reader of this page has installed: the
documentation of SciPy's functions. Which part of SciPy a function is in is not told to the fit.
"""

# %%
# A text is the docstring of a function. Only functions are taken: SciPy's distributions are
# documented by one template, and texts that are nearly the same make one dense cluster, beside
# which all others look like a single one. Remove such texts from your documents too.

import importlib
import inspect

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skgmvae import GMVAEClustering
from skgmvae.plotting import ClusterMatrixDisplay

PARTS = ("linalg", "ndimage", "optimize", "signal", "stats")

texts, part, names = [], [], []
for name in PARTS:
    module = importlib.import_module(f"scipy.{name}")
    for public in module.__all__:
        text = inspect.getdoc(getattr(module, public))
        if inspect.isfunction(getattr(module, public)) and text and len(text.split()) > 60:
            texts.append(text)
            part.append(name)
            names.append(public)
part, names = np.array(part), np.array(names)

vectorizer = TfidfVectorizer(
    max_features=1000, min_df=5, max_df=0.3, sublinear_tf=True, stop_words="english",
    token_pattern="[a-z]{3,}",
)
X = vectorizer.fit_transform(texts)
share = 100 * X.nnz / np.prod(X.shape)
print(f"{X.shape[0]} texts, {X.shape[1]} words, {share:.0f} % of the entries are not zero")

# %%
# `KMeans` depends on its seed here, even with the best of ten initializations.

gmvae = GMVAEClustering(5, random_state=0).fit(X)
found = {"GMVAEClustering": gmvae.labels_}
for seed in range(3):
    found[f"KMeans, seed {seed}"] = KMeans(5, n_init=10, random_state=seed).fit_predict(X)
for name, labels in found.items():
    print(
        f"{name:16} ARI {adjusted_rand_score(part, labels):.2f}  "
        f"NMI {normalized_mutual_info_score(part, labels):.2f}"
    )

# %%
# What the clusters are about: the words that are most above their mean in the center of a cluster.

words = vectorizer.get_feature_names_out()
above = gmvae.cluster_centers_ - np.asarray(X.mean(axis=0)).ravel()
for cluster, most in enumerate(np.argsort(-above, axis=1)[:, :8]):
    print(f"cluster {cluster}, {gmvae.cluster_counts_[cluster]} texts: {', '.join(words[most])}")

# %%
# `predict_log_proba` takes sparse rows too. Here are the texts that the model is least sure of, and
# a new text.

probability = np.exp(gmvae.predict_log_proba(X)).max(axis=1)
for i in np.argsort(probability)[:5]:
    print(f"scipy.{part[i]}.{names[i]}: cluster {gmvae.labels_[i]}, {probability[i]:.2f}")
new = vectorizer.transform(["Test whether two samples have the same mean, if variances differ."])
print(f"the new text: cluster {gmvae.predict(new)[0]}")

# %%
# **Left:** the clusters compared with the parts of SciPy. **Right:** the latent points of the
# texts, by their first two principal components.

figure, (matrix, plane) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
ClusterMatrixDisplay.from_estimator(gmvae, X, part, ax=matrix)
points = PCA(2, random_state=0).fit_transform(gmvae.transform(X))
for name in PARTS:
    plane.scatter(*points[part == name].T, s=10, label=f"scipy.{name}")
plane.set(xticks=[], yticks=[], title="Latent space, colored by the part of SciPy")
plane.legend()
figure.savefig("documents.png", dpi=110)
plt.show()
