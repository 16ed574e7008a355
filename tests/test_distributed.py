"""Fits in groups of two and three processes, against the same fit in one process."""

import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from sklearn.metrics import adjusted_rand_score
from torch import nn

import ranks
from helpers import run_python
from skgmvae import GMVAEClustering
from skgmvae.distributed import ALONE, BatchNormOfAll, Group, join
from skgmvae.exceptions import ResumedFitWarning


def environment(rank, size, port):
    return {
        "RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return what each rank found, by the number of ranks."""
    folders = {size: tmp_path_factory.mktemp(f"ranks{size}") for size in (2, 3)}
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=3", f"--master-port={free_port()}"]
    port = free_port()
    started = [  # three by torchrun, two by what it would leave in the environment
        ([*torchrun, ranks.__file__, str(folders[3])], {"OMP_NUM_THREADS": "1"}),
        *(([ranks.__file__, str(folders[2])], environment(rank, 2, port)) for rank in range(2)),
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, *command], env=os.environ | variables, stderr=subprocess.PIPE
        )
        for command, variables in started
    ]
    printed = [process.communicate(timeout=300)[1].decode() for process in processes]
    found = {}
    for size in folders:
        files = [folders[size] / f"{rank}.pickle" for rank in range(size)]
        assert all(file.exists() for file in files), "\n".join(printed)
        found[size] = [pickle.loads(file.read_bytes()) for file in files]
    return found


@pytest.fixture(scope="module")
def alone():
    """Return a function that fits in this process, once for each setting."""
    fits = {}

    def fit(name):
        if name not in fits:
            X = ranks.IMAGES if name == "images" else ranks.X
            fits[name] = ranks.fitted(X, **ranks.SETTINGS[name])
        return fits[name]

    return fit


def weights(clusterer):
    return clusterer.module_.state_dict()


def assert_equal_weights(clusterers):
    first, *others = map(weights, clusterers)
    assert all(torch.equal(other[name], first[name]) for other in others for name in first)
    for name in ("cluster_centers_", "lower_bound_", "exemplar_indices_", "cluster_counts_"):
        first, *others = (getattr(clusterer, name) for clusterer in clusterers)
        assert all(np.array_equal(other, first) for other in others)


def assert_close(clusterer, other):
    assert clusterer.n_iter_ == other.n_iter_
    for name, value in weights(other).items():
        torch.testing.assert_close(weights(clusterer)[name], value, rtol=0, atol=1e-4)
    for name, value in other.history_.items():
        np.testing.assert_allclose(clusterer.history_[name], value, rtol=1e-4, atol=1e-4)
    for name in ("weights_", "cluster_centers_", "lower_bound_"):
        np.testing.assert_allclose(
            getattr(clusterer, name), getattr(other, name), rtol=1e-3, atol=1e-3
        )
    np.testing.assert_allclose(
        clusterer.latent_components()[1], other.latent_components()[1], rtol=1e-3, atol=1e-3
    )
    for name in ("cluster_counts_", "exemplar_indices_"):
        np.testing.assert_array_equal(getattr(clusterer, name), getattr(other, name))


@pytest.mark.parametrize(("name", "size"), [*((name, 2) for name in ranks.SETTINGS), ("start", 3)])
def test_rows_of_their_own_are_fitted_as_in_one_process(results, alone, name, size):
    fits = [found[name, "own"] for found in results[size]]
    assert_equal_weights(fits)
    for fit in fits:
        assert_close(fit, alone(name))
        assert vars(fit).keys() == vars(alone(name)).keys()
    for labels in ("labels_", "init_labels_"):
        if getattr(alone(name), labels) is not None:
            np.testing.assert_array_equal(
                np.concatenate([getattr(fit, labels) for fit in fits]),
                getattr(alone(name), labels),
            )


@pytest.mark.parametrize(("name", "size"), [("several", 2), ("random", 3)])
def test_one_source_is_fitted_as_in_one_process_and_every_rank_has_all_labels(
    results, alone, name, size
):
    fits = [found[name, "same"] for found in results[size]]
    assert_equal_weights(fits)
    for fit in fits:
        assert_close(fit, alone(name))
        np.testing.assert_array_equal(fit.labels_, alone(name).labels_)


def test_without_a_seed_all_have_that_of_the_first(results):
    assert_equal_weights([found["no seed"] for found in results[2]])


def test_a_fit_is_continued(results):
    fits = [found["continued"] for found in results[2]]
    assert_equal_weights(fits)
    alone = ranks.continued(ranks.X)
    assert fits[0].n_iter_ == alone.n_iter_ == 4
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(fits[0])[name], value, rtol=0, atol=1e-4)


def test_of_more_rows_a_sample_is_partitioned_and_the_others_follow(results, alone):
    fits = [found["sample"] for found in results[2]]
    assert_equal_weights(fits)
    begun = np.concatenate([fit.init_labels_ for fit in fits])
    assert adjusted_rand_score(begun, alone("start").init_labels_) > 0.9


def test_rows_with_gaps_follow_too(results, alone):
    # their neighbors in the sample were sought by values that are missing
    fits = [found["sample with gaps"] for found in results[2]]
    assert_equal_weights(fits)
    begun = np.concatenate([fit.init_labels_ for fit in fits])
    assert adjusted_rand_score(begun, alone("start").init_labels_) > 0.7


def test_categories_are_those_of_all_processes(results):
    fits = [found["categories"] for found in results[2]]
    assert_equal_weights(fits)
    for fit in fits:
        assert fit._columns.categories == {4: ["high", "low", "middle"]}


def test_all_stop_early_by_the_rows_that_are_held_out_of_all(results):
    fits = [found["early"] for found in results[2]]
    assert_equal_weights(fits)
    alone = ranks.fitted(ranks.X, **ranks.EARLY)
    assert fits[0].n_iter_ == fits[1].n_iter_ == alone.n_iter_ < 40
    for fit in fits:
        np.testing.assert_allclose(fit.validation_scores_, alone.validation_scores_, atol=1e-3)


def test_a_group_goes_on_where_each_process_has_rows_of_its_own_to_stop_by(results):
    if "resumed" not in results[2][0]:
        pytest.skip("scikit-learn before 1.9 has no callbacks")
    assert_equal_weights([fit for found in results[2] for fit in found["resumed"]])


def test_a_callback_of_one_rank_ends_the_fit_of_all(results):
    if "watched" not in results[2][0]:
        pytest.skip("scikit-learn before 1.9 has no callbacks")
    (n_first, none), (n_second, predicted) = (found["watched"] for found in results[2])
    assert n_first == n_second == 2
    assert none == []
    assert predicted == [98] * 3  # after two epochs and the fit, its own rows
    assert {found["failed"] for found in results[2]} == {
        ("ZeroDivisionError", "division by zero")
    }


def test_off_fits_the_rows_of_this_process_alone(results):
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes have: sums of more threads round otherwise
    try:
        alone = [ranks.fitted(ranks.X[rank::2], **ranks.QUICK) for rank in range(2)]
    finally:
        torch.set_num_threads(n_threads)
    for fit, found in zip(alone, results[2], strict=True):
        assert_equal_weights([found["off"], fit])


@pytest.mark.parametrize(("name", "kind", "message"), [
    ("infinity", "ValueError", "infinity"),
    ("columns", "ValueError", "rank 1: 3, f8"),
    ("negative", "ValueError", "likelihood='bernoulli' needs values"),
    ("parameters", "ValueError", "n_mc_samples must be the same"),
    ("lists", "ValueError", "hidden_layer_sizes must be the same"),
    ("one is fitted", "ValueError", "warm_start=True trains on must be given"),
    ("few", "ValueError", "fewer than the"),
    ("not finite", "Diverged", "perturbation="),
])
def test_an_error_of_one_rank_is_that_of_all(results, name, kind, message):
    assert {found[name][0] for found in results[2]} == {kind}
    assert all(message in found[name][1] for found in results[2])


def test_a_chunk_is_refused(results):
    assert all("distributed='auto'" in found["partial_fit"] for found in results[2])


def test_an_interrupt_of_one_rank_ends_the_fit_of_all_after_the_same_epoch(results):
    assert {found["interrupted"] for found in results[2]} == {2}


@pytest.mark.parametrize("size", [2, 3])
def test_the_others_raise_an_error_where_a_rank_dies_or_does_not_answer(results, size):
    for found in results[size][:-1]:
        (kind, message), seconds = found["without"]
        assert kind == "RuntimeError"
        assert "did not answer" in message
        assert seconds < 12  # before the one that sleeps wakes up
    if size == 2:
        assert "without" not in results[2][1]  # it died


def test_a_worker_of_joblib_does_not_join_by_its_environment(monkeypatch):
    for name, value in environment(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    get_reusable_executor().shutdown()  # of tests before, whose environment was another
    tasks = [delayed(os.getenv)("RANK"), delayed(join)("auto")]  # which a worker can import
    rank, group = Parallel(n_jobs=2, timeout=300)(tasks)
    get_reusable_executor().shutdown()
    assert rank == "0"
    assert group == ALONE


def test_processes_that_do_not_meet_are_an_error(monkeypatch):
    for name, value in (environment(0, 2, free_port()) | {"MASTER_PORT": "none"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match="rank 0 of 2 in the environment"):
        join("auto")
    assert join("off") == ALONE


def test_a_description_of_a_group_of_one_is_no_group(monkeypatch):
    for name, value in environment(0, 1, free_port()).items():
        monkeypatch.setenv(name, value)
    assert join("auto") == ALONE
    assert not dist.is_initialized()


@pytest.fixture
def group_of_one(tmp_path):
    """Initialize a process group of this process."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("keywords", [
    {}, {"affine": False}, {"momentum": None}, {"track_running_stats": False},
])
@pytest.mark.parametrize("shape", [(6, 5), (4, 5, 3, 2)])
def test_batch_norm_of_all_is_that_of_torch(group_of_one, shape, keywords):
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    source = torch.Generator().manual_seed(0)
    expected, layer = kind(5, **keywords), kind(5, **keywords)
    Group(0, 2).share_module(nn.Sequential(layer))
    assert type(layer) is BatchNormOfAll
    for _ in range(2):
        y = (3 + torch.randn(shape, generator=source)).requires_grad_()
        z = y.detach().clone().requires_grad_()
        weight = torch.randn(shape, generator=source)
        (expected(y) * weight).sum().backward()
        (layer(z) * weight).sum().backward()
        torch.testing.assert_close(z.grad, y.grad)
    for of_layer, of_expected in zip(
        (*layer.parameters(), *layer.buffers()), (*expected.parameters(), *expected.buffers()),
        strict=True,
    ):
        torch.testing.assert_close(of_layer, of_expected)
        if of_expected.requires_grad:
            torch.testing.assert_close(of_layer.grad, of_expected.grad)
    torch.testing.assert_close(layer.eval()(z), expected.eval()(y))


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_rank_that_is_killed_resumes_with_its_group(tmp_path, alone):
    command = [
        "-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1",
        f"--master-port={free_port()}", ranks.__file__, tmp_path, "killed_once",
    ]
    run_python(*command, seconds=300, OMP_NUM_THREADS="1")
    found = [pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) for rank in range(2)]
    assert_equal_weights([fit for each in found for fit in (each["killed"], each["whole"])])
    for each in found:
        assert "after 3 epochs" in each["said"][0]  # of six steps
    # the same file goes on in one process
    with pytest.warns(ResumedFitWarning, match="after 3 epochs"):
        clusterer = GMVAEClustering(**ranks.SMALL, checkpoint=tmp_path / "as it was").fit(ranks.X)
    for name, value in weights(alone("start")).items():
        torch.testing.assert_close(weights(clusterer)[name], value, rtol=0, atol=1e-5)
