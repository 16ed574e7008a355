"""A step, and Adam against torch's."""

import torch
from torch import nn

from helpers import run_python
from skgmvae._training import Adam, Step


def network(device="cpu"):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), nn.Linear(1, 1)).to(device)


def batches(n_steps):
    return torch.randn(n_steps, 6, 4, generator=torch.Generator().manual_seed(1))


class Loss(nn.Module):
    """A loss of rows, which the last layer of the network has no part in at even steps."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, batch):
        y, number = batch
        loss = self.network[: 3 + number % 2](y).square().mean()
        return loss, torch.stack([loss, 2 * loss]).detach()


def test_adam_moves_the_weights_as_torchs_does(device):
    ours, torchs = Loss(network(device)), Loss(network(device))
    step, optimizer = Step(ours, Adam(ours)), torch.optim.Adam(torchs.parameters())
    group, = optimizer.param_groups
    assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)  # the paper's
    for number, y in enumerate(batches(20).to(device)):
        rate = 0.1 / (1 + number)
        group["lr"] = rate
        optimizer.zero_grad()
        loss, expected = torchs((y, number))
        loss.backward()
        optimizer.step()
        torch.testing.assert_close(step((y, number), rate), expected)
        for one, other in zip(ours.parameters(), torchs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert [int(n) for n in step.optimizer.n_steps] == [20, 20, 20, 20, 10, 10]
    state = [optimizer.state[parameter] for parameter in torchs.parameters()]
    for name, tensors in (
        ("exp_avg", step.optimizer.means), ("exp_avg_sq", step.optimizer.squares)
    ):
        for tensor, of_torch in zip(tensors, state, strict=True):
            torch.testing.assert_close(tensor, of_torch[name], rtol=1e-4, atol=1e-7)


def test_what_a_step_changes_is_named():
    objective = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    step = Step(objective, Adam(objective))
    # four parameters with two moments and a count each, and three buffers
    assert len(step.changed_tensors()) == 4 * 4 + 3


def test_a_step_is_taken_where_the_caller_has_turned_gradients_off():
    objective = Loss(network())
    before = objective.network[0].weight.clone()
    with torch.no_grad():
        Step(objective, Adam(objective))((batches(1)[0], 0), 0.1)
    assert not torch.equal(objective.network[0].weight, before)


def test_torchs_compiler_is_not_imported():
    script = """
import sys, warnings
import numpy as np
from skgmvae import GMVAEClustering
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(40, 3))
for call in GMVAEClustering.fit, GMVAEClustering.partial_fit:
    call(GMVAEClustering(2, max_iter=2, device="cpu"), X)
    print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
    assert run_python("-c", script).split() == ["[]", "[]"]
