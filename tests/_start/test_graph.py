"""The neighbor graph, what its edges say of clusters, and its eigenvectors."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigsh
from scipy.stats import entropy
from sklearn.datasets import make_blobs
from sklearn.metrics import mutual_info_score
from sklearn.utils.fixes import parse_version, sp_version

from helpers import graph_of, neighbors_of, random_joint
from skgmvae._start import graph as module
from skgmvae._start.graph import (
    EIGENSOLVER,
    LEAST_AFFINITY,
    Separation,
    edge_distribution,
    edge_information,
    mutual_information,
    neighbor_graph,
    separation,
    spectral_embedding,
)

ITERATIVE = EIGENSOLVER._replace(max_dense_rows=1)
ANY_SIZE = Separation(min_share=0.0)
# ten distinct rows, one of them fifty times, so that many eigenvalues of the graph are equal
COUNTS = np.vstack([np.eye(9)[:5], np.zeros((50, 9)), np.eye(9)[5:]])


def random_graph(random, n_rows=12, density=0.4):
    """Return a symmetric graph in which each row has an edge, as a dense array."""
    dense = np.triu(random.random((n_rows, n_rows)) < density, 1) * random.integers(1, 4, n_rows)
    dense[np.arange(n_rows - 1), np.arange(1, n_rows)] = 1
    return (dense + dense.T).astype(np.float32)


def normalized(graph):
    degree = graph.toarray().sum(1).astype(float)
    return graph.toarray() / np.sqrt(np.outer(degree, degree))


@given(st.integers(0, 1000), st.integers(2, 20), st.integers(1, 4))
def test_an_edge_weighs_as_many_rows_as_equal_its_start_by_an_oracle(seed, n_rows, n_neighbors):
    X = np.random.default_rng(seed).integers(0, 4, (n_rows, 2))
    assume(len(np.unique(X, axis=0)) > 1)
    found = neighbors_of(X, n_neighbors=n_neighbors)
    expected = np.zeros((len(found.first),) * 2)
    for row, nearest in enumerate(found.nearest):
        for neighbor in nearest:
            expected[row, neighbor] += found.counts[row]
            expected[neighbor, row] += found.counts[row]
    np.testing.assert_array_equal(neighbor_graph(found).toarray(), expected)


def test_the_graph_is_that_of_the_references():
    X = np.random.default_rng(0).standard_normal((50, 2))
    found = neighbors_of(X, max_references=20, n_neighbors=4)
    among = neighbors_of(X[found.references], n_neighbors=4)
    np.testing.assert_array_equal(
        neighbor_graph(found).toarray(), neighbor_graph(among).toarray()
    )


@given(st.integers(0, 1000), st.integers(1, 4))
def test_an_affinity_multiplies_the_weights_and_leaves_every_edge_by_an_oracle(seed, n_neighbors):
    random = np.random.default_rng(seed)
    found = neighbors_of(random.integers(0, 5, (20, 2)), n_neighbors=n_neighbors)
    affinity = random.choice([0.0, 1e-9, 0.3, 1.0], found.nearest.shape)
    expected = np.zeros((len(found.first),) * 2)
    for row, nearest in enumerate(found.nearest):
        for neighbor, factor in zip(nearest, affinity[row], strict=True):
            weight = found.counts[row] * max(factor, LEAST_AFFINITY)
            expected[row, neighbor] += weight
            expected[neighbor, row] += weight
    graph = neighbor_graph(found, affinity)
    np.testing.assert_allclose(graph.toarray(), expected, rtol=1e-5)
    np.testing.assert_array_equal(graph.toarray() > 0, neighbor_graph(found).toarray() > 0)


@given(st.integers(0, 1000), st.integers(1, 5))
def test_the_distribution_of_clusters_at_the_ends_of_an_edge_by_an_oracle(seed, n_clusters):
    random = np.random.default_rng(seed)
    dense = random_graph(random)
    labels = random.integers(0, n_clusters, len(dense))
    expected = np.zeros((n_clusters, n_clusters))
    for row, column in np.argwhere(dense):
        expected[labels[row], labels[column]] += dense[row, column] / dense.sum()
    joint = edge_distribution(csr_array(dense), labels, n_clusters)
    np.testing.assert_allclose(joint, expected, atol=1e-7)


@given(st.integers(0, 1000), st.integers(2, 5))
def test_edge_information_is_the_mutual_information_of_the_ends(seed, n_clusters):
    random = np.random.default_rng(seed)
    dense = random_graph(random)
    labels = random.integers(0, n_clusters, len(dense))
    ends = np.repeat(np.argwhere(dense), dense[dense > 0].astype(int), axis=0)
    expected = mutual_info_score(labels[ends[:, 0]], labels[ends[:, 1]])
    found = edge_information(csr_array(dense), labels, n_clusters)
    assert found == pytest.approx(expected, abs=1e-6)


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0.01, 1))
def test_mutual_information_by_an_oracle_with_its_bounds_and_homogeneity(seed, n_clusters, scale):
    joint = random_joint(np.random.default_rng(seed), n_clusters)
    ratio = joint / np.outer(joint.sum(1), joint.sum(0))
    found = mutual_information(joint)
    assert found == pytest.approx((joint * np.log(ratio)).sum(), abs=1e-9)
    assert -1e-9 <= found <= entropy(joint.sum(0)) + 1e-9 <= np.log(n_clusters) + 2e-9
    scaled = mutual_information(scale * joint)
    assert scaled == pytest.approx(scale * found - scale * np.log(scale), abs=1e-9)


@given(st.integers(0, 1000), st.integers(2, 4))
def test_separation_is_information_by_entropy_whatever_the_names_of_clusters(seed, n_clusters):
    random = np.random.default_rng(seed)
    dense = random_graph(random)
    labels = np.append(np.arange(n_clusters), random.integers(0, n_clusters, 12 - n_clusters))
    graph = csr_array(dense)
    found = separation(graph, labels, n_clusters, rule=ANY_SIZE)
    joint = edge_distribution(graph, labels, n_clusters)
    expected = mutual_information(joint) / -(joint.sum(0) * np.log(joint.sum(0))).sum()
    assert found == pytest.approx(expected, rel=1e-9)
    assert -1e-9 <= found <= 1 + 1e-9
    renamed = random.permutation(n_clusters)[labels]
    assert separation(graph, renamed, n_clusters, rule=ANY_SIZE) == pytest.approx(found, rel=1e-9)


def two_blobs(n_rare=40):
    X, y = make_blobs([300, n_rare], 3, centers=[[0, 0, 0], [9, 9, 9]], random_state=0)
    return X, y


def test_clusters_that_no_edge_joins_are_fully_separated_whatever_the_copies():
    # the entropy was that of distinct rows, the information that of all: 1.9 times as much
    X, y = two_blobs()
    X, y = np.concatenate([X, np.repeat(X[y == 1], 6, axis=0)]), np.append(y, np.ones(240, int))
    found = neighbors_of(X)
    assert separation(neighbor_graph(found), y[found.first], 2) == pytest.approx(1.0)


@pytest.mark.parametrize("names", [(0, 1), (0, 2), (1, 3)])
def test_clusters_that_do_not_occur_do_not_matter(names):
    # a name that does not occur counted as a cluster of no rows, which is tiny
    X, y = two_blobs()
    labels = np.array(names)[y]
    assert separation(graph_of(X), labels, 4) == pytest.approx(1.0)


def test_a_tiny_cluster_is_not_separated_nor_is_a_single_one():
    X, y = two_blobs(20)
    graph = graph_of(X)  # a share of 1/16, where two balanced clusters have 1/2 each
    assert separation(graph, y, 2, rule=Separation(0.12)) == pytest.approx(1.0)
    assert separation(graph, y, 2, rule=Separation(0.13)) == 0.0
    assert separation(graph, np.zeros(320, int), 2) == 0.0
    assert separation(graph, np.full(320, 1), 2) == 0.0


def top_eigenvectors_are_right(graph, found, atol):
    """Check by an oracle: an orthonormal basis of eigenvectors with the largest eigenvalues."""
    n_components = found.shape[1]
    matrix = normalized(graph)
    expected = np.linalg.eigvalsh(matrix)[::-1][:n_components]
    found = found.astype(float)
    np.testing.assert_allclose(found.T @ found, np.eye(n_components), atol=atol)
    quotients = np.einsum("ij,ij->j", found, matrix @ found)
    np.testing.assert_allclose(quotients, expected, atol=atol)
    np.testing.assert_allclose(matrix @ found, found * quotients, atol=10 * atol)


@pytest.mark.parametrize("solver", [EIGENSOLVER, ITERATIVE], ids=["dense", "iterative"])
@pytest.mark.parametrize("n_components", [1, 3, 12])
def test_the_embedding_has_the_leading_eigenvectors(solver, n_components):
    X, _ = make_blobs(150, 3, centers=4, cluster_std=3.0, random_state=0)
    graph = graph_of(X)
    found = spectral_embedding(graph, n_components, np.random.RandomState(0), solver=solver)
    assert found.shape == (150, n_components)
    top_eigenvectors_are_right(graph, found, 1e-3)


@pytest.mark.parametrize("n_components", [3, 5, 9])
def test_the_iterative_solver_finds_the_eigenvalue_of_each_connected_component(n_components):
    X, _ = make_blobs(150, 3, centers=5, cluster_std=0.1, random_state=0)
    graph = graph_of(X)
    found = spectral_embedding(graph, n_components, np.random.RandomState(0), solver=ITERATIVE)
    top_eigenvectors_are_right(graph, found, 1e-3)


def fails(*args, **kwargs):
    raise LinAlgError("Internal Error.")


@pytest.mark.parametrize("n_components", range(1, 11))
def test_a_table_of_counts_has_an_embedding(n_components):
    # LAPACK's first choice ended in an internal error, on processors with AVX2 but not AVX-512
    graph = graph_of(COUNTS)
    found = spectral_embedding(graph, n_components, np.random.RandomState(0))
    top_eigenvectors_are_right(graph, found, 1e-5)


@pytest.mark.parametrize("n_components", [1, 4, 10])
def test_another_driver_takes_over_where_the_first_fails(n_components, monkeypatch):
    def fails_first(matrix, **options):
        return eigh(matrix, **options) if options.get("driver") == "evd" else fails()

    monkeypatch.setattr(module, "eigh", fails_first)
    graph = graph_of(COUNTS)
    found = spectral_embedding(graph, n_components, np.random.RandomState(0))
    top_eigenvectors_are_right(graph, found, 1e-5)


@pytest.fixture
def touching():
    X, _ = make_blobs(150, 3, centers=4, cluster_std=3.0, random_state=0)
    return graph_of(X)


@pytest.mark.parametrize("n_converged", [0, 2])
def test_what_has_converged_is_taken_where_the_iterative_solver_does_not_end(
    n_converged, touching, monkeypatch
):
    def gives_up(operator, n_components, **options):
        values, vectors = eigsh(operator, n_components, **options)
        raise ArpackNoConvergence("late", values[-n_converged:], vectors[:, -n_converged:])

    def finds_nothing(operator, n_components, **options):
        raise ArpackNoConvergence("late", np.empty(0), np.empty((operator.shape[0], 0)))

    monkeypatch.setattr(module, "eigsh", gives_up if n_converged else finds_nothing)
    found = spectral_embedding(touching, 6, np.random.RandomState(0), solver=ITERATIVE)
    assert found.shape == (150, 1 + n_converged)
    top_eigenvectors_are_right(touching, found, 1e-3)


def test_no_error_of_the_iterative_solver_is_passed_on(touching, monkeypatch):
    def breaks(*args, **options):
        raise ArpackError(-9999)

    monkeypatch.setattr(module, "eigsh", breaks)
    found = spectral_embedding(touching, 6, np.random.RandomState(0), solver=ITERATIVE)
    top_eigenvectors_are_right(touching, found, 1e-3)  # the first is known beforehand
    assert found.shape == (150, 1)


@pytest.mark.skipif(
    sp_version < parse_version("1.17"), reason="SciPy before 1.17 draws from a state of its own"
)
def test_a_seed_fixes_the_embedding_where_few_eigenvalues_are_distinct():
    # groups of eleven rows that are all neighbors: two eigenvalues beside 1, and SciPy drew the
    # vector to go on with from the operating system
    random = np.random.default_rng(0)
    X = np.repeat(1000 * random.standard_normal((40, 3)), 11, 0) + random.standard_normal((440, 3))
    graph = graph_of(X, n_neighbors=10)
    one, again = (
        spectral_embedding(graph, 41, np.random.RandomState(0), solver=ITERATIVE) for _ in range(2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.isfinite(one).all()
