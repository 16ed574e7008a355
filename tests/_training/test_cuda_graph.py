"""A step as a graph: the same numbers as without, and a step as it is where there can be none."""

import copy
import gc
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skgmvae import GMVAEClustering
from skgmvae._model import Architecture
from skgmvae._objective import Batches, Objective, PseudoLabelSchedule, RegularizerInputs
from skgmvae._rows import Rows
from skgmvae._training import Adam, CapturedStep, Step, cuda_graph
from skgmvae._training.cuda_graph import captured
from skgmvae.distributed import ALONE, Group
from skgmvae.likelihoods import LIKELIHOODS
from skgmvae.networks import Networks, dense_networks

GPU = pytest.param("cuda:0", marks=[
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
])


class Waiting(torch.nn.Module):
    """A layer that waits for the device, which a graph cannot."""

    def forward(self, y):
        return y + 0.0 * float(y.sum().detach().cpu())


def waiting_networks(*arguments):
    encoder, prior, decoder = dense_networks(*arguments, hidden_layer_sizes=(8,))
    return Networks(torch.nn.Sequential(encoder, Waiting()), prior, decoder)


def step_and_batches(device, networks="dense"):
    X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    inputs = RegularizerInputs(
        "adversarial", np.full(64, 0.5, np.float32),
        csr_array(np.random.default_rng(1).dirichlet(np.ones(3), 64).astype(np.float32)),
        PseudoLabelSchedule(10.0, 1.0, 1.0),
    )
    batches = Batches(
        Rows(torch.tensor(X, device=device)), batch_size=16, n_mc_samples=2, latent_dim=2,
        style_dim=2, n_clusters=3, inputs=inputs, key=(0, 0), progress=lambda epoch: epoch / 10,
    )
    architecture = Architecture((4,), 3, 2, 2, (8,), networks, LIKELIHOODS["gaussian"])
    objective = Objective(
        architecture.build(torch.device(device), 0), min_information=0.1, consistency=5.0
    )
    return Step(objective, Adam(objective)), batches


def ten_steps(step, batches):
    return [
        step(batches(*divmod(number, 4)), 1e-2 / (1 + number)).tolist() for number in range(10)
    ]


def forbidden(message):
    raise AssertionError(message)


def test_ten_steps_are_the_same_as_without_a_graph(device):
    step, batches = step_and_batches(device)
    eager = copy.deepcopy(step)
    as_graph = captured(step, lambda: batches(0, 0), forbidden)
    assert isinstance(as_graph, CapturedStep) == (device != "cpu")
    records = ten_steps(as_graph, batches)
    np.testing.assert_allclose(records, ten_steps(eager, batches), rtol=1e-3, atol=1e-4)
    assert records[0] != records[9]
    for one, other in zip(step.changed_tensors(), eager.changed_tensors(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", [GPU])
def test_a_graph_keeps_alive_what_it_changes(device):
    # the state of the optimizer was freed, and its memory given to others
    step, batches = step_and_batches(device)
    expected = ten_steps(copy.deepcopy(step), batches)
    as_graph = CapturedStep(step, batches(0, 0))
    del step
    gc.collect()
    others = [torch.full((n,), torch.nan, device=device) for n in range(1, 400)]
    np.testing.assert_allclose(ten_steps(as_graph, batches), expected, rtol=1e-3, atol=1e-4)
    assert all(map(torch.all, map(torch.isnan, others)))


@pytest.mark.parametrize("device", [GPU])
def test_recording_changes_nothing(device):
    step, batches = step_and_batches(device)
    before = [tensor.detach().clone() for tensor in step.changed_tensors()]
    CapturedStep(step, batches(0, 0))
    assert all(map(torch.equal, before, step.changed_tensors()))
    assert all(parameter.grad is None for parameter in step.optimizer.parameters)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("device", [GPU])
def test_a_network_that_waits_for_the_device_is_trained_without_a_graph(device):
    step, batches = step_and_batches(device, waiting_networks)
    before = [tensor.detach().clone() for tensor in step.changed_tensors()]
    told = []
    stream = torch.cuda.current_stream()
    assert captured(step, lambda: batches(0, 0), told.append) is step
    assert torch.cuda.current_stream() == stream
    assert len(told) == 1
    assert all(map(torch.equal, before, step.changed_tensors()))
    records = ten_steps(step, batches)
    assert np.isfinite(records).all()
    # and after that one that does not wait is a graph again, or not, but is trained
    GMVAEClustering(2, max_iter=3, device=device, random_state=0).fit(np.eye(20))


def test_on_other_devices_a_step_is_taken_as_it_is():
    step, _ = step_and_batches("cpu")
    assert captured(step, lambda: forbidden("no batch is needed"), forbidden) is step


def step_on_gpu(group=ALONE):
    on_gpu = SimpleNamespace(type="cuda")
    optimizer = SimpleNamespace(learning_rate=SimpleNamespace(device=on_gpu))
    return SimpleNamespace(optimizer=optimizer, group=group)


def test_a_step_of_several_processes_is_taken_as_it_is():
    step = step_on_gpu(Group(rank=0, size=2))
    assert captured(step, lambda: forbidden("no batch is needed"), forbidden) is step


@pytest.mark.parametrize("error", [RuntimeError("capture failed\nadvice"), RuntimeError()])
def test_where_no_graph_can_be_recorded_a_step_is_taken_as_it_is(monkeypatch, error):
    def fail(*arguments):
        raise error

    step = step_on_gpu()
    monkeypatch.setattr(cuda_graph, "CapturedStep", fail)
    told = []
    assert captured(step, lambda: None, told.append) is step
    assert len(told) == 1
    assert told[0].startswith("Steps are not taken as a CUDA graph: ")
    assert "advice" not in told[0]


def test_an_error_that_a_graph_has_no_part_in_is_raised(monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    step = step_on_gpu()
    monkeypatch.setattr(cuda_graph, "CapturedStep", fail)
    with pytest.raises(ZeroDivisionError):
        captured(step, lambda: None, forbidden)


@pytest.mark.filterwarnings("ignore")  # of so short a fit
@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_2_says_that_there_is_no_graph(monkeypatch, capsys, verbose):
    def told(step, first_batch, debug):
        debug("no graph")
        return step

    monkeypatch.setattr("skgmvae._training.loop.captured", told)
    X = np.random.default_rng(0).normal(size=(40, 3))
    GMVAEClustering(2, max_iter=2, device="cpu", verbose=verbose).fit(X)
    assert ("no graph" in capsys.readouterr().out) == (verbose == 2)


class Pair(NamedTuple):
    one: object
    other: object


def test_batches_are_copied_place_by_place():
    batch = Pair(torch.zeros(2), Pair(None, (torch.ones(1), "a word")))
    held = cuda_graph._mapped(torch.clone, batch)
    assert held.one is not batch.one
    assert isinstance(held, Pair)
    assert held.other.other[1] == "a word"
    cuda_graph._mapped(torch.Tensor.copy_, held, Pair(torch.full((2,), 3.0), batch.other))
    assert held.one.tolist() == [3.0, 3.0]
    assert batch.one.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="zip"):
        cuda_graph._mapped(torch.Tensor.copy_, held, (batch.one,))


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_what_was_changed_is_undone(error):
    layer = torch.nn.Linear(2, 2)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    try:
        with cuda_graph._undone(layer.parameters()):
            layer.weight.data.fill_(7.0)
            if error:
                raise error
    except RuntimeError:
        pass
    assert all(map(torch.equal, before, layer.parameters()))
