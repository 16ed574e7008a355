"""
Single cells: raw counts, in and out of an AnnData object
=========================================================

Clusters cells by the counts of their genes, as they were counted, with the negative binomial
likelihood. Neither normalization nor principal components are needed: how deep a cell was sequenced
is allowed for by the likelihood. The cells are simulated, so that their types are known. They are
held in an AnnData object if the package ``anndata`` is installed; the example runs without it too.
"""

# %%
# A thousand cells of five types, 40, 30, 20, 7 and 3 % of them. In 100 genes eight are markers of a
# type, of which its cells have three times as much, more or less. The depths to which cells are
# sequenced differ by a factor of ten and more, and most counts are 0.

from importlib.util import find_spec
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import kneighbors_graph

from skgmvae import GMVAEClustering
from skgmvae.plotting import ClusterMatrixDisplay

N_CELLS, N_GENES = 1000, 500
random = np.random.default_rng(0)
cell_type = random.choice(5, size=N_CELLS, p=[0.4, 0.3, 0.2, 0.07, 0.03])
is_marker = random.random((5, N_GENES)) < 0.08
factors = np.where(is_marker, random.lognormal(1.1, 0.5, is_marker.shape), 1.0)
rates = random.gamma(0.5, 1.0, N_GENES) * factors
depth = random.lognormal(6.5, 0.6, (N_CELLS, 1))
mean = depth * (rates / rates.sum(1, keepdims=True))[cell_type]
counts = sparse.csr_matrix(random.poisson(random.gamma(2.0, mean / 2.0)).astype(np.float32))

obs = pd.DataFrame(
    {"cell_type": pd.Categorical(cell_type)}, index=[f"cell {i}" for i in range(N_CELLS)]
)
if find_spec("anndata"):
    from anndata import AnnData

    adata = AnnData(counts.copy(), obs=obs, layers={"counts": counts})
else:  # what is used of one
    adata = SimpleNamespace(layers={"counts": counts}, obs=obs, obsm={})
print(f"{1 - counts.nnz / np.prod(counts.shape):.0%} of {counts.shape} counts are 0")

# %%
# The layer of raw counts goes into the model as it is, a sparse matrix. The clusters are written to
# ``adata.obs`` and the latent points to ``adata.obsm``, where scanpy looks for them.

gmvae = GMVAEClustering(5, likelihood="negative_binomial", random_state=0)
gmvae.fit(adata.layers["counts"])
adata.obs["cluster"] = pd.Categorical(gmvae.labels_)
adata.obs["probability"] = np.exp(gmvae.predict_log_proba(adata.layers["counts"])).max(1)
adata.obsm["X_gmvae"] = gmvae.transform(adata.layers["counts"])
print(adata.obs.groupby("cluster", observed=True)["probability"].describe()[["count", "mean"]])

# %%
# Beside it the usual way: counts are brought to one total, their logarithms are taken, and `KMeans`
# is run on 50 principal components. If ``igraph`` and ``leidenalg`` are installed, Leiden is run on
# the graph of their 15 nearest neighbors too; it finds the number of clusters itself, at its
# resolution of 1.

dense = adata.layers["counts"].toarray()
totals = dense.sum(1, keepdims=True)
normalized = np.log1p(dense * (np.median(totals) / totals))
adata.obsm["X_pca"] = PCA(50, random_state=0).fit_transform(normalized)
kmeans = KMeans(5, n_init=10, random_state=0)
adata.obs["kmeans"] = pd.Categorical(kmeans.fit_predict(adata.obsm["X_pca"]))

if find_spec("igraph") and find_spec("leidenalg"):
    import igraph
    import leidenalg

    neighbors = kneighbors_graph(adata.obsm["X_pca"], 15)
    edges = sparse.triu(neighbors.maximum(neighbors.T)).nonzero()
    graph = igraph.Graph(N_CELLS, np.transpose(edges).tolist())
    found = leidenalg.find_partition(
        graph, leidenalg.RBConfigurationVertexPartition, resolution_parameter=1.0, seed=0
    )
    adata.obs["leiden"] = pd.Categorical(found.membership)

for name in ("cluster", "kmeans", "leiden"):
    if name in adata.obs:
        found = adata.obs[name]
        print(
            f"{name:8} {found.nunique():2} clusters  "
            f"ARI {adjusted_rand_score(cell_type, found):.3f}  "
            f"NMI {normalized_mutual_info_score(cell_type, found):.3f}"
        )

# %%
# The first two principal components of the latent points, colored by cluster, and of the normalized
# counts, colored by the clusters of `KMeans`. It has cut the largest type in two here, and put the
# two rarest together.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for axis, points, labels, title in (
    (axes[0], "X_gmvae", "cluster", "GMVAE, raw counts"),
    (axes[1], "X_pca", "kmeans", "KMeans, normalized counts"),
):
    shown = PCA(2, random_state=0).fit_transform(adata.obsm[points])
    axis.scatter(*shown.T, c=adata.obs[labels].cat.codes, s=5, cmap="tab10", vmin=-0.5, vmax=9.5)
    axis.set(title=title, xlabel="component 1", ylabel="component 2", xticks=[], yticks=[])
figure.savefig("single_cells.png", dpi=100)
plt.show()

# %%
# Which cell types the clusters are:

ClusterMatrixDisplay.from_estimator(gmvae, adata.layers["counts"], cell_type)
plt.savefig("single_cells_types.png", dpi=100, bbox_inches="tight")
plt.show()

# %%
# The centers are the mean counts of the cells of a cluster. The genes that stand out most in a
# center, against the mean of all cells, are candidates for markers. At the end of each line is how
# many of the ten are markers of the type that most cells of the cluster are of.

centers = gmvae.cluster_centers_
ratio = np.log((centers + 0.5) / (gmvae.weights_ @ centers + 0.5))
for cluster, genes in enumerate(np.argsort(-ratio, axis=1)[:, :10]):
    most = np.bincount(cell_type[gmvae.labels_ == cluster]).argmax()
    n_markers = is_marker[most, genes].sum()
    print(f"cluster {cluster}: genes {', '.join(map(str, genes))}; {n_markers} of 10 are markers")
