r"""
Speed of a training step
========================

What the package costs on top of the arithmetic. In one process, taking turns, this script measures

- a training step as a fit takes it: forward, regularizer with its inner gradient, backward, Adam;
- the same step by hand: a minimal loop of the same networks, objective and optimizer;
- the bare matrix products of the step,

and `predict` of one row against the networks alone. The hand-written loss is checked against ours
before anything is timed. On a CPU figures are CPU time, so that other programs disturb them little;
on CUDA the time of the device, and both steps are measured as they are and as a graph. The table
is that of docs/performance.md::

    python examples/benchmarks/speed.py --threads 1
    python examples/benchmarks/speed.py --device cuda --sizes mnist
"""

import argparse
import copy
import math
import statistics
import time
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from skgmvae import GMVAEClustering
from skgmvae._model import Architecture
from skgmvae._objective import (
    Batches,
    InformationWeights,
    Objective,
    PseudoLabelSchedule,
    RegularizerInputs,
)
from skgmvae._rows import Rows
from skgmvae._training import Adam, CapturedStep, Step
from skgmvae.likelihoods import LIKELIHOODS
from skgmvae.parameters import auto_consistency

BATCH_SIZE, STYLE_DIM = 256, 10
# of no effect on the time of a step, but thousands of steps on one batch at an ordinary rate leave
# probabilities that are denormal numbers, which a CPU is slow at
LEARNING_RATE = 0.0


class Size(NamedTuple):
    """What determines the cost of a step."""

    n_features: int
    width: int
    n_clusters: int
    latent_dim: int
    likelihood: str


SIZES = {
    "mnist": Size(784, 512, 10, 16, "bernoulli"),
    "digits": Size(64, 256, 10, 10, "gaussian"),
    "iris": Size(4, 64, 3, 10, "gaussian"),
}


def rows_of(size, n_rows):
    """Return rows of no structure."""
    draw = np.random.default_rng(0)
    if size.likelihood == "bernoulli":
        return draw.random((n_rows, size.n_features), np.float32)
    return draw.standard_normal((n_rows, size.n_features)).astype(np.float32)


def objective_and_batch(size, device):
    """Return what a fit with default parameters trains, and the first batch of it."""
    X = rows_of(size, BATCH_SIZE)
    rows = Rows(torch.tensor(X, device=device))
    architecture = Architecture(
        (size.n_features,), size.n_clusters, size.latent_dim, STYLE_DIM, (size.width,) * 2, "dense",
        LIKELIHOODS[size.likelihood],
    )
    probabilities = np.random.default_rng(1).dirichlet(np.ones(size.n_clusters), len(X))
    inputs = RegularizerInputs(
        "adversarial", np.full(len(X), 0.5, np.float32),
        csr_array(probabilities.astype(np.float32)),
        PseudoLabelSchedule(10.0, 0.3, 1.0),
    )
    batches = Batches(
        rows, batch_size=BATCH_SIZE, n_mc_samples=1, latent_dim=size.latent_dim,
        style_dim=STYLE_DIM, n_clusters=size.n_clusters, inputs=inputs, key=(0, 0),
        progress=lambda epoch: 0.0,
    )
    objective = Objective(
        architecture.build(device, 0), consistency=auto_consistency(size.n_features),
        information=InformationWeights(0.0, 0.0), probe=rows.typical_norm(),
    )
    return objective.train(), batches(0, 0)


class HandWritten(nn.Module):
    """The loss of `objective`, written for these networks and such batches alone."""

    def __init__(self, objective):
        super().__init__()
        self.model = objective.model
        self.consistency, self.probe = objective.consistency, objective.probe
        self.norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm1d)]

    def track(self, track):
        """Say whether rows enter the running statistics of batch norm."""
        for norm in self.norms:
            norm.track_running_stats = track

    @staticmethod
    def gaussian(parameters, *shape):
        """Return mean and log of the standard deviation."""
        mean, raw = parameters.unflatten(-1, (2, *shape)).unbind(-1 - len(shape))
        return mean, 4.0 * torch.tanh(raw / 8.0)

    def encode(self, y):
        """q(x|y) and q(w|y)."""
        model, features = self.model, self.model.encoder(y)
        m_x, log_s_x = self.gaussian(model.x_head.linear(features), model.latent_dim)
        m_w, log_s_w = self.gaussian(model.w_head.linear(features), model.style_dim)
        return m_x, log_s_x, m_w, log_s_w

    def components(self, x, w):
        """p(x|w, z) and log p(z|x, w), but for a constant that cancels."""
        model = self.model
        m_k, log_s_k = self.gaussian(
            model.component_head.linear(model.prior(w)), model.n_components, model.latent_dim
        )
        s_k = log_s_k.exp()
        log_joint = -(0.5 * ((x.unsqueeze(-2) - m_k) / s_k) ** 2 + log_s_k).sum(-1)
        return m_k, log_s_k, s_k, log_softmax(log_joint + model.log_weights, -1)

    def logits(self, y):
        """Log p(z|y) at the means."""
        m_x, _, m_w, _ = self.encode(y)
        return self.components(m_x, m_w)[-1]

    def forward(self, batch):
        """Return the loss, and once more to record it."""
        y, model = batch.y, self.model
        m_x, log_s_x, m_w, log_s_w = self.encode(y)
        s_x, s_w = log_s_x.exp(), log_s_w.exp()
        x, w = m_x + s_x * batch.noise.x[0], m_w + s_w * batch.noise.w[0]
        m_k, log_s_k, s_k, log_p_z = self.components(x, w)
        p_z = log_p_z.exp()
        decoded = model.y_head(model.decoder(x))
        if decoded.shape[1] == 1:
            logits = decoded.squeeze(1)
            reconstruction = -binary_cross_entropy_with_logits(logits, y, reduction="sum") / len(y)
        else:
            m_y, raw = decoded.unbind(1)
            log_s_y = 4.0 * torch.tanh(raw / 8.0)
            errors = 0.5 * ((y - m_y) / log_s_y.exp()) ** 2 + log_s_y + 0.5 * math.log(2 * math.pi)
            reconstruction = -errors.sum(-1).mean()
        m, log_s, s = m_x.unsqueeze(-2), log_s_x.unsqueeze(-2), s_x.unsqueeze(-2)
        kl_x = (log_s_k - log_s + 0.5 * (s**2 + (m - m_k) ** 2) / s_k**2 - 0.5).sum(-1)
        conditional_prior = (p_z * kl_x).sum(-1).mean()
        w_prior = (0.5 * (s_w**2 + m_w**2 - 1) - log_s_w).sum(-1).mean()
        z_prior = (p_z * (log_p_z - model.log_weights)).sum(-1).mean()

        logits = self.components(m_x, m_w)[-1]
        fixed = logits.detach()
        p = fixed.exp()
        self.track(False)
        step = self.probe * batch.direction / batch.direction.norm(dim=1, keepdim=True)
        step.requires_grad_()
        change = (p * (fixed - self.logits(y + step))).sum()
        (gradient,) = torch.autograd.grad(change, step)
        gradient = gradient / gradient.abs().amax(1, keepdim=True)
        unit = gradient / gradient.norm(dim=1, keepdim=True)
        moved = y + batch.radius.unsqueeze(1) * unit
        disagreement = (p * (fixed - self.logits(moved))).sum(-1).mean()
        self.track(True)
        pseudo, weight = batch.pseudo_labels
        cross_entropy = -(pseudo * logits).sum(-1).mean()
        loss = (
            conditional_prior + w_prior + z_prior.clamp(min=0.0) - reconstruction
            + self.consistency * disagreement + weight * cross_entropy
        )
        return loss, loss.detach()


def hand_written_step(objective, batch):
    """Return a step of torch's own optimizer on a copy of the model."""
    by_hand = HandWritten(copy.deepcopy(objective))
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=LEARNING_RATE, fused=True)

    def step():
        loss, _ = by_hand(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def products(size, device):
    """Return a function that computes the matrix products of a step, and nothing else."""
    N, width, x, w = size.n_features, size.width, size.latent_dim, STYLE_DIM
    trunk = [(N, width), (width, width)]
    encoder = [*trunk, (width, 2 * x), (width, 2 * w)]
    prior = [(w, width), (width, 2 * x * size.n_clusters)]
    n_parameters = LIKELIHOODS[size.likelihood].n_parameters
    decoder = [(x, width), (width, width), (width, n_parameters * N)]
    # forward, to the weights and to the input: at draws, at the means, probed, moved
    passes = [(encoder, True, False), (prior, True, True), (decoder, True, True)]
    passes += [(prior, True, True)]
    passes += [(encoder, False, True), (prior, False, True)]
    passes += [(encoder, True, False), (prior, True, True)]
    pairs = []
    for layers, to_weights, to_rows in passes:
        for number, (n_in, n_out) in enumerate(layers):
            rows, out, weight = (
                torch.randn(*shape, device=device)
                for shape in ((BATCH_SIZE, n_in), (BATCH_SIZE, n_out), (n_out, n_in))
            )
            pairs.append((rows, weight.T))
            if to_weights:
                pairs.append((out.T, rows))
            if to_rows or number:
                pairs.append((out, weight))

    def multiply():
        for a, b in pairs:
            torch.mm(a, b)

    return multiply


def check(objective, batch):
    """Raise unless the hand-written loss and its gradient are ours."""
    ours, by_hand = copy.deepcopy(objective), copy.deepcopy(objective)
    (loss, _), (expected, _) = ours(batch), HandWritten(by_hand)(batch)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    loss.backward()
    expected.backward()
    for (name, one), other in zip(ours.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-2, atol=1e-3, msg=name)
    for one, other in zip(ours.buffers(), by_hand.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def seconds_of(run, n_calls, device):
    """Return seconds a call: CPU time, or the time of the device."""
    if device.type == "cpu":
        began = time.process_time()
        for _ in range(n_calls):
            run()
        return (time.process_time() - began) / n_calls
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began.record()
    for _ in range(n_calls):
        run()
    ended.record()
    torch.cuda.synchronize()
    return began.elapsed_time(ended) / 1e3 / n_calls


def taking_turns(runs, device, n_rounds, seconds_a_turn=0.05):
    """Return milliseconds a call of each, one number a turn."""
    for run in runs.values():
        seconds_of(run, 10, device)
    n_calls = {
        name: max(1, round(seconds_a_turn / seconds_of(run, 10, device)))
        for name, run in runs.items()
    }
    turns = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            turns[name].append(1e3 * seconds_of(run, n_calls[name], device))
    return turns


def typical_ratio(times, others):
    """Return the median of ratios within turns, in which the machine is equally busy."""
    return statistics.median(one / other for one, other in zip(times, others, strict=True))


def step_of(objective, batch, *, as_graph=False):
    """Return a step as a fit takes it, on a copy of the objective."""
    trained = copy.deepcopy(objective)
    step = Step(trained, Adam(trained))
    if as_graph:
        step = CapturedStep(step, batch)
    return lambda: step(batch, LEARNING_RATE)


def step_times(size, device, n_rounds):
    """Return milliseconds of a step by each turn, by how it is taken and by whom."""
    objective, batch = objective_and_batch(size, device)
    check(objective, batch)
    runs = {
        ("eager", "ours"): step_of(objective, batch),
        ("eager", "by hand"): hand_written_step(objective, batch),
        "products": products(size, device),
    }
    if device.type == "cuda":
        runs["graph", "ours"] = step_of(objective, batch, as_graph=True)
        runs["graph", "by hand"] = step_of(HandWritten(objective), batch, as_graph=True)
    return taking_turns(runs, device, n_rounds)


def predict_times(size, n_rounds):
    """Return milliseconds of `predict` of one row in double precision, and of the networks."""
    X = rows_of(size, 500).astype(np.float64)
    clusterer = GMVAEClustering(
        size.n_clusters, latent_dim=size.latent_dim, likelihood=size.likelihood, init="random",
        hidden_layer_sizes=(size.width,) * 2, max_iter=1, device="cpu", random_state=0,
        consistency=0,
    ).fit(X)
    model, row = copy.deepcopy(clusterer.module_).double(), X[:1]
    y = torch.from_numpy(row)

    @torch.no_grad()
    def networks():
        return model.cluster_logits(model.q(y))

    cpu = torch.device("cpu")
    runs = {"predict": lambda: clusterer.predict(row), "networks": networks}
    return taking_turns(runs, cpu, n_rounds)


def table(lines):
    """Return lines of cells as a table in Markdown."""
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body))


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    lines, predictions = [], []
    for name in given.sizes:
        size = SIZES[name]
        times = step_times(size, device, given.rounds)
        bare = times["products"]
        for how in ("eager", "graph") if device.type == "cuda" else ("eager",):
            ours, by_hand = times[how, "ours"], times[how, "by hand"]
            lines.append([
                name, how, *(f"{min(turn):.2f}" for turn in (ours, by_hand, bare)),
                *(f"{typical_ratio(*pair):.2f}" for pair in (
                    (ours, by_hand), (ours, bare), (by_hand, bare)
                )),
            ])
            print(*lines[-1], flush=True)
        predicted = predict_times(size, given.rounds)
        predictions.append([name, *(f"{min(turn):.2f}" for turn in predicted.values())])
    print(
        "\nMilliseconds, the least of all turns, and medians of ratios within turns; torch "
        f"{torch.__version__}, {device}, {given.threads} thread(s)\n"
    )
    print(table([
        ["size", "step", "ours", "by hand", "products", "ours / by hand", "ours / products",
         "by hand / products"], *lines,
    ]))
    print()
    print(table([["size", "predict of one row, float64", "its networks"], *predictions]))


if __name__ == "__main__":
    main()
