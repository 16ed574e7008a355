"""Devices and random numbers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from skgmvae.runtime import (
    available_device,
    draw_seed,
    generator,
    random_initialisation,
    select_device,
    supports_float64,
)

CPU = torch.device("cpu")
no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
keys = st.lists(st.integers(0, 50), min_size=1, max_size=5)


def numbers(*key):
    return torch.rand(4, generator=generator(CPU, *key)).tolist()


@given(keys)
def test_the_same_key_gives_the_same_numbers(key):
    assert numbers(*key) == numbers(*key)


@given(keys, keys)
def test_different_keys_give_different_numbers(one, other):
    assert (numbers(*one) == numbers(*other)) == (one == other)


@pytest.mark.parametrize("other", [(5, 0), (5, 0, 0), (5, 0, 0, 0)])
def test_a_key_and_the_same_key_with_zeros_after_it_are_different(other):
    assert numbers(5) != numbers(*other)


def test_keys_in_another_order_are_different():
    assert len({tuple(numbers(*key)) for key in [(1, 2, 3), (3, 2, 1), (2, 1, 3)]}) == 3


def test_large_seeds_are_allowed():
    assert numbers(2**31 - 1, 0) != numbers(2**31 - 2, 0)


def test_a_generator_leaves_the_global_state_alone(untouched_global_state):
    numbers(1, 2)


def test_a_seed_is_that_of_the_random_state(untouched_global_state):
    assert draw_seed(3) == draw_seed(3) != draw_seed(4)
    live = np.random.RandomState(3)
    assert draw_seed(live) == draw_seed(3)
    assert draw_seed(live) != draw_seed(3)
    seeds = {draw_seed(None) for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**31 for seed in seeds)


def linear():
    return nn.Linear(5, 4).weight


def orthogonal():
    return nn.init.orthogonal_(torch.empty(4, 4))


def truncated():
    return nn.init.trunc_normal_(torch.empty(9))


DRAWS = {
    "Linear": linear,
    "Conv2d": lambda: nn.Conv2d(2, 3, 3).weight,
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(2, 3, 3).weight,
    "Embedding": lambda: nn.Embedding(5, 3).weight,
    "GRU": lambda: nn.GRU(3, 2).weight_hh_l0,
    "MultiheadAttention": lambda: nn.MultiheadAttention(4, 2).in_proj_weight,
    "orthogonal_": orthogonal,
    "trunc_normal_": truncated,
    "kaiming_normal_": lambda: nn.init.kaiming_normal_(torch.empty(4, 4)),
    "randn": lambda: torch.randn(9),
    "rand": lambda: torch.rand(9),
    "randn_like": lambda: torch.randn_like(torch.ones(9)),
    "rand_like": lambda: torch.rand_like(torch.ones(9)),
    "normal": lambda: torch.normal(0.0, 1.0, (9,)),
    "randperm": lambda: torch.randperm(30),
    "randint": lambda: torch.randint(1000, (9,)),
    "randint(low, high)": lambda: torch.randint(5, 1000, (9,)),
    "randint_like": lambda: torch.randint_like(torch.ones(9), 1000),
    "randint_like(low, high)": lambda: torch.randint_like(torch.ones(9), 5, 1000),
    "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(1000), 5),
    "dropout": lambda: nn.functional.dropout(torch.ones(60)),
    "uniform_": lambda: torch.empty(9).uniform_(),
    "exponential_": lambda: torch.empty(9).exponential_(),
    "Gamma": lambda: torch.distributions.Gamma(1.0, 1.0).sample((5,)),
}


def within(draw, seed=0):
    with random_initialisation(generator(CPU, seed)):
        return draw().detach().clone()


@pytest.mark.parametrize("name", DRAWS)
def test_initialisation_is_reproducible_and_leaves_the_global_state(name, untouched_global_state):
    draw = DRAWS[name]
    assert torch.equal(within(draw), within(draw))
    assert not torch.equal(within(draw), within(draw, 1))


def test_successive_draws_differ():
    with random_initialisation(generator(CPU, 0)):
        assert not torch.equal(linear(), linear())


def test_initialisation_has_torchs_distribution():
    weight = within(lambda: nn.Linear(100, 300).weight)
    assert weight.abs().max() <= 0.1
    assert float(weight.std()) == pytest.approx(0.1 / np.sqrt(3), rel=0.03)


def test_an_explicit_generator_is_respected():
    expected = torch.randn(5, generator=generator(CPU, 9))
    assert torch.equal(within(lambda: torch.randn(5, generator=generator(CPU, 9))), expected)


def test_the_context_ends():
    source = generator(CPU, 0)
    with random_initialisation(source):
        linear()
    state = source.get_state()
    kept = torch.get_rng_state()
    torch.rand(3)
    torch.set_rng_state(kept)
    assert torch.equal(source.get_state(), state)


def test_the_context_ends_after_an_exception():
    source = generator(CPU, 0)
    with pytest.raises(ZeroDivisionError), random_initialisation(source):
        raise ZeroDivisionError
    with random_initialisation(generator(CPU, 1)):
        torch.rand(3)
    assert torch.equal(source.get_state(), generator(CPU, 0).get_state())


def test_threads_do_not_disturb_one_another(untouched_global_state):
    def many(seed):
        with random_initialisation(generator(CPU, seed)):
            return [nn.Linear(6, 6).weight.detach() for _ in range(50)]

    alone = [many(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(many, range(4)))
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_cpu_is_there():
    assert select_device("cpu") == CPU
    assert select_device("auto").type in ("cpu", "cuda")
    assert available_device("cpu") == CPU


@no_cuda
def test_auto_is_the_cpu_without_cuda():
    assert select_device("auto") == CPU


@pytest.mark.parametrize("name", ["nonsense", "", "cpu:x", "cuda:banana"])
def test_an_unknown_device_is_named_in_the_error(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used: .*device='cpu'"):
        select_device(name)


@no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:3", "xpu", "mps"])
def test_an_absent_device_is_named_in_the_error(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used: .*device='auto'"):
        select_device(name)
    assert available_device(name) == CPU


@pytest.mark.parametrize("name", ["fpga", "xla", "vulkan"])
def test_a_device_torch_was_not_built_for_is_refused(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used"):
        select_device(name)


@pytest.mark.parametrize(("name", "whether"), [("cpu", True), ("cuda", True), ("mps", False)])
def test_double_precision_is_everywhere_but_on_mps(name, whether):
    assert supports_float64(torch.device(name)) is whether
