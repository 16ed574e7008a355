"""Devices, random numbers and torch's modes."""

import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import EfficiencyWarning
from threadpoolctl import threadpool_info
from torch import nn

from skgmvae.runtime import (
    THREAD_USE,
    available_device,
    computes_in_float64,
    draw_seed,
    generator,
    global_draws_from,
    interruptible,
    interrupts_held,
    one_thread,
    ordinary_torch,
    select_device,
    threads_for,
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


def test_a_generator_is_on_the_device_asked_for(device):
    source = generator(torch.device(device), 1)
    assert source.device == torch.device(device)
    assert torch.rand(3, generator=source, device=device).device == torch.device(device)


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
    with global_draws_from(generator(CPU, seed)):
        return draw().detach().clone()


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_reproducible_and_leave_the_global_state(name, untouched_global_state):
    draw = DRAWS[name]
    assert torch.equal(within(draw), within(draw))
    assert not torch.equal(within(draw), within(draw, 1))


def test_draws_go_on_from_the_generator_and_it_from_them():
    source, expected = generator(CPU, 0), generator(CPU, 0)
    for _ in range(2):
        with global_draws_from(source):
            drawn = torch.rand(5), torch.rand(3)
        assert torch.equal(drawn[0], torch.rand(5, generator=expected))
        assert torch.equal(drawn[1], torch.rand(3, generator=expected))
    assert torch.equal(source.get_state(), expected.get_state())


def test_a_generator_of_the_users_is_respected():
    expected = torch.randn(5, generator=generator(CPU, 9))
    assert torch.equal(within(lambda: torch.randn(5, generator=generator(CPU, 9))), expected)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_global_generator_is_as_before_after_an_exception(error, untouched_global_state):
    def fail():
        torch.rand(3)
        raise error

    with pytest.raises(error):
        within(fail)
    # and others may borrow it
    with ThreadPoolExecutor(1) as pool:
        assert torch.equal(pool.submit(within, linear).result(timeout=20), within(linear))


def test_borrowing_within_borrowing_ends_in_order(untouched_global_state):
    with global_draws_from(generator(CPU, 0)):
        first = torch.rand(2)
        inner = within(linear, 1)
        second = torch.rand(2)
    assert torch.equal(inner, within(linear, 1))
    assert torch.equal(torch.cat([first, second]), within(lambda: torch.cat([
        torch.rand(2), torch.rand(2),
    ])))


def test_one_thread_at_a_time_borrows_the_global_generator():
    entered = threading.Event()

    def other():
        with global_draws_from(generator(CPU, 1)):
            entered.set()
            return linear().detach()

    with ThreadPoolExecutor(1) as pool:
        with global_draws_from(generator(CPU, 0)):
            waiting = pool.submit(other)
            assert not entered.wait(0.2)
            mine = linear().detach()
        assert torch.equal(waiting.result(timeout=20), within(linear, 1))
    assert torch.equal(mine, within(linear, 0))


def test_threads_do_not_disturb_one_another(untouched_global_state):
    def many(seed):
        with global_draws_from(generator(CPU, seed)):
            return [nn.Linear(6, 6).weight.detach() for _ in range(50)]

    alone = [many(seed) for seed in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(many, range(4)))
    finally:
        sys.setswitchinterval(before)
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# Torch's modes.

def product():
    return torch.ones(4, 4, dtype=torch.float32) @ torch.ones(4, 4, dtype=torch.float32)


def test_inference_mode_ends_within_and_goes_on_after():
    with torch.inference_mode():
        with ordinary_torch():
            assert not torch.is_inference_mode_enabled()
            weight = nn.Parameter(torch.ones(3))
            (weight * weight).sum().backward()
            assert weight.grad.tolist() == [2, 2, 2]
            assert not torch.ones(2).is_inference()
        assert torch.is_inference_mode_enabled()


def test_autocast_ends_within_and_goes_on_after():
    with torch.autocast("cpu", torch.bfloat16):
        assert product().dtype == torch.bfloat16
        with ordinary_torch():
            assert product().dtype == torch.float32
            assert not torch.is_autocast_enabled("cpu")
        assert product().dtype == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_autocast_ends_on_a_gpu_too():
    with torch.autocast("cuda", torch.bfloat16), ordinary_torch():
        assert (torch.ones(4, 4, device="cuda") @ torch.ones(4, 4, device="cuda")).dtype == (
            torch.float32
        )


def test_a_function_may_be_decorated_and_called_again():
    @ordinary_torch()
    def modes(error=None):
        if error:
            raise error
        return torch.is_inference_mode_enabled(), product().dtype

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            assert modes() == (False, torch.float32)
        with pytest.raises(ZeroDivisionError):
            modes(ZeroDivisionError())
        assert torch.is_inference_mode_enabled()
        assert product().dtype == torch.bfloat16
    assert modes() == (False, torch.float32)


# Devices.

def test_the_cpu_is_there():
    assert select_device("cpu") == select_device(CPU) == CPU
    assert available_device("cpu") == available_device(CPU) == CPU


@no_cuda
def test_auto_is_the_cpu_without_cuda_and_that_is_nothing_to_warn_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert select_device("auto") == CPU


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that pretends that there is a GPU, on which a tensor is `made`."""

    def pretend_gpu(made):
        zeros = torch.zeros

        def make(*shape, device=None, **keywords):
            if torch.device(device).type != "cuda":
                return zeros(*shape, device=device, **keywords)
            return made(torch.device(device))

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch, "zeros", make)

    return pretend_gpu


def works(device):
    """Make a tensor on a machine of two GPUs, of which this thread is at the second."""
    if (device.index or 0) > 1:
        raise RuntimeError("CUDA error: invalid device ordinal\nGPU has no such device.")
    index = 1 if device.index is None else device.index
    return SimpleNamespace(device=torch.device("cuda", index), item=lambda: 0.0)


@pytest.mark.parametrize(("name", "expected"), [
    ("auto", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0"),
    (torch.device("cuda"), "cuda:1"), (torch.device("cuda", 0), "cuda:0"), ("cpu", "cpu"),
])
def test_a_device_carries_its_index(pretend, name, expected):
    pretend(works)
    found = select_device(name)
    assert isinstance(found, torch.device)
    assert found == torch.device(expected)
    assert available_device(name) == found


ERRORS = [
    RuntimeError("CUDA error: out of memory\nA page of advice."),
    RuntimeError("no kernel of version 1.2 for it. Then a page of advice.\nAnd another."),
    AssertionError("Torch not compiled with CUDA enabled"),
    NotImplementedError("no such operation"),
    RuntimeError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("fails_at", ["making", "reading"])
def test_a_gpu_that_cannot_be_used_gives_the_cpu_and_a_warning(pretend, error, fails_at):
    def fail(*arguments):
        raise error

    pretend(
        fail if fails_at == "making" else lambda device: SimpleNamespace(device=device, item=fail)
    )
    reason = (str(error) or "RuntimeError").splitlines()[0].removesuffix(
        ". Then a page of advice."
    )
    with pytest.warns(EfficiencyWarning, match="device='auto' takes the CPU.*device='cpu'") as told:
        assert select_device("auto") == CPU
    assert len(told) == 1
    assert f"({reason})" in str(told[0].message)
    assert "advice" not in str(told[0].message)
    with pytest.raises(ValueError, match="device='cuda' cannot be used") as caught:
        select_device("cuda")
    assert f": {reason}. Pass device" in str(caught.value)
    assert "advice" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_gpu_that_this_machine_does_not_have_is_what_auto_stands_for(pretend):
    pretend(works)
    with pytest.raises(ValueError, match="device='cuda:7' cannot be used: CUDA error: invalid"):
        select_device("cuda:7")
    assert available_device("cuda:7") == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["nonsense", "", "cpu:x", "cuda:banana"])
def test_an_unknown_device_is_named_in_the_error(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used: .*device='cpu'"):
        select_device(name)


@no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:3", "xpu", "mps", torch.device("cuda", 3)])
def test_an_absent_device_is_named_in_the_error(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used: .*'auto'"):
        select_device(name)
    assert available_device(name) == CPU


@pytest.mark.parametrize("name", ["fpga", "xla", "vulkan", "meta"])
def test_a_device_that_holds_no_data_or_torch_was_not_built_for_is_refused(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used"):
        select_device(name)


@pytest.mark.parametrize(("name", "whether"), [("cpu", True), ("cuda", False), ("mps", False)])
def test_double_precision_is_worth_its_time_on_a_cpu_only(name, whether):
    assert computes_in_float64(torch.device(name)) is whether


# Ctrl-C


@pytest.fixture
def press(at_a_terminal):
    """Return a function that presses Ctrl-C."""
    return lambda: signal.raise_signal(signal.SIGINT)


def test_what_another_thread_sets_meanwhile_stays_unless_there_is_ctrl_c(press):
    @interruptible()
    def fit(*, is_interrupted):
        filterwarnings = threading.Thread(
            target=warnings.filterwarnings, args=("ignore", "set meanwhile")
        )
        filterwarnings.start()
        filterwarnings.join()
        if is_interrupted:
            press()

    def is_set():
        return any(found[1] and found[1].match("set meanwhile") for found in warnings.filters)

    with warnings.catch_warnings():
        with pytest.raises(KeyboardInterrupt):
            fit(is_interrupted=True)
        assert not is_set()
        fit(is_interrupted=False)
        assert is_set()


@pytest.mark.usefixtures("two_threads")
def test_a_limit_of_threads_that_ctrl_c_kept_from_ending_ends_with_the_fit(press):
    limit = one_thread()

    @interruptible()
    def fit():
        limit.__enter__()
        press()

    with pytest.raises(KeyboardInterrupt):
        fit()
    assert threads_of("blas") == threads_of("openmp") == {torch.get_num_threads()} == {2}


def test_what_puts_things_in_order_is_not_interrupted_by_a_second_ctrl_c(press):
    in_order = []

    @interruptible()
    def fit():
        try:
            press()
        finally:
            press()
            in_order.append(True)

    with pytest.raises(KeyboardInterrupt):
        fit()
    assert in_order == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_is_heard_later(press, monkeypatch):
    clock = iter([10.0, 10.4, 10.6])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            press()
        press()
        with pytest.raises(KeyboardInterrupt):
            press()


def test_one_ctrl_c_is_held_and_another_later_is_not(press, monkeypatch):
    clock = iter([10.0, 10.4, 10.6])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with interruptible(), interrupts_held() as held:
        press()
        press()
        assert held == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            press()


def test_each_fit_hears_ctrl_c_soon_after_the_one_before(press):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interruptible():
            press()


def test_a_handler_of_the_users_stays(press):
    calls = []
    signal.signal(signal.SIGINT, lambda *arguments: calls.append(arguments))
    with interruptible(), interrupts_held() as held:
        press()
        press()
    assert len(calls) == 2
    assert not held


def threads_of(user_api):
    """Return how many threads the libraries of one kind take."""
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == user_api}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("factor", "expected"), [(0.9, 1), (1.0, 2), (np.inf, 2)])
def test_little_is_computed_on_one_thread_and_much_on_all(factor, expected):
    with threads_for(factor * THREAD_USE.n_multiplications):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_on_one_thread_all_libraries_take_one():
    with one_thread():
        assert threads_of("blas") == threads_of("openmp") == {torch.get_num_threads()} == {1}
        with one_thread(), pytest.raises(RuntimeError, match="within"):
            raise RuntimeError("within")
        assert threads_of("blas") == {1}
    assert threads_of("blas") == threads_of("openmp") == {torch.get_num_threads()} == {2}


@pytest.mark.usefixtures("two_threads")
def test_threads_that_compute_at_once_leave_no_limit_to_the_process():
    first_left, second_entered = threading.Event(), threading.Event()
    seen = []

    def second():
        with one_thread():
            second_entered.set()
            first_left.wait(60)
            seen.append(torch.get_num_threads())

    with ThreadPoolExecutor() as pool:
        with one_thread():
            later = pool.submit(second)
            second_entered.wait(60)
        first_left.set()
        later.result(60)
    assert seen == [1]
    assert threads_of("blas") == threads_of("openmp") == {torch.get_num_threads()} == {2}
