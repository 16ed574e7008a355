"""Devices, seeds, torch's modes, and the process that all runs in.

No other module makes a generator, one other names a device.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import FrameType
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import sklearn
import torch
from sklearn.exceptions import EfficiencyWarning
from sklearn.utils import check_random_state
from threadpoolctl import ThreadpoolController, threadpool_limits

__all__ = [
    "CPU", "available_device", "cached_property", "computes_in_float64", "draw_seed",
    "ending_with", "free_memory", "generator", "global_draws_from", "has_float64",
    "interruptible", "interrupts_held", "most_precise", "new_lock", "one_thread",
    "ordinary_torch", "select_device", "staging_memory", "threads_for", "uninterrupted", "warn",
    "watched_global_draws", "without_array_api",
]

CPU = torch.device("cpu")
#: Packages that stand between a user's call and a warning of it.
INTERMEDIATE = {"skgmvae", "sklearn", "joblib", "contextlib"}
T = TypeVar("T")


def new_lock() -> Any:
    """Return a reentrant lock that is free in forked processes.

    Who held it at the time may be a thread that is not there.
    """
    lock = threading.RLock()
    if hasattr(os, "register_at_fork"):  # there is no fork on Windows
        os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]
    return lock


class cached_property(functools.cached_property[T]):
    """A property that is computed once, without a lock.

    Python 3.11 has one lock for all objects of a class, so that threads wait for each other, and
    a forked process for threads that are not there.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = nullcontext()


_GLOBAL_GENERATOR = new_lock()  # held by the thread that torch's global generator is lent to
_FIRST_PROCESS = os.getpid()  # others have this module from it, by a fork
_last_interrupt = -math.inf  # when it came
_of_thread = threading.local()  # whether it was limited, and in which process


def warn(message: Warning) -> None:
    """Issue a warning at the line of the user's that led to it, however deep it arises.

    `fit_predict` and a `Pipeline` put frames of scikit-learn in between.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _package_of(frame) in INTERMEDIATE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def select_device(name: str | torch.device, local_rank: int | None = None) -> torch.device:
    """Turn the `device` parameter into a device that is there, with its index.

    Parameters
    ----------
    name : str or torch.device
        ``"auto"`` (a CUDA device if there is one that works, else the CPU) or what `torch.device`
        reads.
    local_rank : int or None, default=None
        Number of this process among those of the machine, which take the CUDA devices in turn.

    Returns
    -------
    device : torch.device
        With its index ("cuda:0"): torch's current device is another in each thread.

    Raises
    ------
    ValueError
        If the name is unknown or there is no such device.
    """
    if str(name) != "auto":
        try:
            return _tried(name)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"device={str(name)!r} cannot be used: {_reason(error)}. Pass "
                "device='cpu', or 'auto' for whichever is there."
            ) from error
    if torch.cuda.is_available():
        try:
            here = "" if local_rank is None else f":{local_rank % torch.cuda.device_count()}"
            return _tried(f"cuda{here}")
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            warn(EfficiencyWarning(
                f"device='auto' takes the CPU: a GPU is there but cannot be used "
                f"({_reason(error)}). Pass device='cpu' to leave it out."
            ))
    return CPU


def _tried(name: str | torch.device) -> torch.device:
    probe = torch.zeros(1, device=torch.device(name))
    probe.item()  # a tensor that holds no data, or a broken driver, fails here
    return probe.device


def _reason(error: Exception) -> str:
    """Return the first sentence of an error's message; torch adds a page of advice."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    return first.split(". ")[0].rstrip(".")


def available_device(name: str | torch.device) -> torch.device:
    """Return the device of that name if this machine has it, else what "auto" stands for."""
    try:
        return select_device(name)
    except ValueError:
        return select_device("auto")


def computes_in_float64(device: torch.device) -> bool:
    """Whether to compute in double precision what is given in it: on a CPU only.

    On a GPU they cost many times as much, and Apple's has none.
    """
    return device.type == "cpu"


def has_float64(device: torch.device) -> bool:
    """Whether there are numbers in double precision on a device at all."""
    return device.type != "mps"


def most_precise(device: torch.device) -> torch.dtype:
    """Return double precision, or single where a device has no other."""
    return torch.float64 if has_float64(device) else torch.float32


def free_memory(device: torch.device) -> float:
    """Return how many bytes are free on a device with memory of its own; of others, infinity."""
    if device.type != "cuda":
        return math.inf
    free, _ = torch.cuda.mem_get_info(device)
    # what torch keeps of tensors that are gone is free for others
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(free + kept)


def staging_memory(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return empty memory of the host, pinned if that lets a device copy from it by itself.

    Torch does not give it to others before the device is done with it.
    """
    return torch.empty(shape, dtype=dtype, device=CPU, pin_memory=device.type == "cuda")


def generator(device: torch.device, *key: int) -> torch.Generator:
    """Return a generator on `device` seeded from `key`, as (seed, restart, epoch, step)."""
    # the length in front: SeedSequence pads with zeros, so (5,) and (5, 0) would be one key
    state = np.random.SeedSequence((len(key), *key)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) & (2**63 - 1))


def draw_seed(random_state: Any) -> int:
    """Turn the `random_state` parameter into a seed.

    ``None`` asks the operating system, where scikit-learn would advance numpy's global state.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0]) >> 1
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def global_draws_from(source: torch.Generator) -> Iterator[None]:
    """Within this context torch's global generator of the CPU goes on from `source`.

    Modules of the user's draw their weights from it and from no other. Afterwards it is as before,
    and `source` where they left it.
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.set_rng_state(source.get_state())
        yield
        source.set_state(torch.get_rng_state())


@contextmanager
def watched_global_draws() -> Iterator[Callable[[], bool]]:
    """Within this context only what is called here draws from torch's global generator.

    The function that it gives tells whether that has happened; other threads of ours wait.
    """
    with _GLOBAL_GENERATOR:
        before = torch.get_rng_state()
        yield lambda: not torch.equal(before, torch.get_rng_state())


def without_array_api() -> AbstractContextManager[None]:
    """Return a context within which scikit-learn takes and makes arrays of numpy.

    With `array_api_dispatch` its mixtures refuse how they are asked to begin, and it hands tensors
    through where arrays are asked for.
    """
    if sklearn.get_config()["array_api_dispatch"]:
        return cast(AbstractContextManager[None], sklearn.config_context(array_api_dispatch=False))
    return nullcontext()


@contextmanager
def ordinary_torch() -> Iterator[None]:
    """Within this context, also a decorator, torch computes as it does where nothing was set.

    Autocast and inference mode of the caller end at our door, and so does scikit-learn's dispatch
    to other arrays. (The default device and dtype are never relied on: every tensor that is made
    here names its own.)
    """
    _compute_on_one_thread_if_forked()
    with ExitStack() as stack, without_array_api():
        stack.enter_context(torch.inference_mode(mode=False))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def _compute_on_one_thread_if_forked() -> None:
    """Limit this thread to itself in a process that was forked, from one that may have computed.

    The threads of OpenMP are not there after a fork, but its pool is as before: whatever is shared
    out among them then, by torch or by scikit-learn, waits for them forever.
    """
    process = os.getpid()
    if process not in (_FIRST_PROCESS, getattr(_of_thread, "limited_in", None)):
        torch.set_num_threads(1)  # MKL too
        threadpool_limits(1, user_api="openmp")
        _of_thread.limited_in = process


class ThreadUse(NamedTuple):
    """When torch computes on all its threads.

    Measured with ``examples/benchmarks/threads.py`` on two cores.

    Attributes
    ----------
    n_multiplications : float
        Of a forward pass, from which on. Where nothing else runs, steps of a fit to iris (4
        million) take as long on one thread as on two, to digits (64 million) 1.2 times, to 500
        features (150 million) 1.4 and to MNIST (390 million) 1.5 times.
    """

    n_multiplications: float = 1e8


THREAD_USE = ThreadUse()


def threads_for(n_multiplications: float) -> AbstractContextManager[Any]:
    """Return a context within which torch computes on one thread if more gain little.

    After each operation threads wait for one another without giving way: beside a program that
    keeps one core of two busy, a step on both takes 11 to 25 times as long as on one thread.

    Parameters
    ----------
    n_multiplications : float
        How much is computed at a time: about the parameters of a network times the rows.
    """
    if n_multiplications >= THREAD_USE.n_multiplications or torch.get_num_threads() == 1:
        return nullcontext()
    return cast(AbstractContextManager[Any], _thread_pools("openmp").limit(limits=1))


@contextmanager
def one_thread() -> Iterator[None]:
    """Within this context, also a decorator, numpy, SciPy, scikit-learn and torch take one thread.

    For many small products one after another, as mixtures and k-means of a table are made of:
    on two threads they take twice as long where nothing else runs, and five times beside a
    program that keeps one core of two busy (``examples/benchmarks/threads.py``).

    How many threads products of numpy and SciPy take is a setting of the process, of which only
    the main thread has the say: two that take turns might leave it as the other had it for a time.
    """
    torch.get_num_threads()  # which the first call in a thread sets, in place of the limit
    with ExitStack() as stack:
        stack.enter_context(_thread_pools("openmp").limit(limits=1))
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_thread_pools("blas").limit(limits=1))
        yield


@functools.cache
def _thread_pools(user_api: str) -> ThreadpoolController:
    return ThreadpoolController().select(user_api=user_api)  # torch and scikit-learn are loaded


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this context, also a decorator, Ctrl-C is heard once, and SIGTERM is taken for it.

    Either raises `KeyboardInterrupt`; another one half a second later or sooner is taken for the
    same, so that the lines which put things in order are not interrupted in turn. A scheduler
    sends SIGTERM some seconds before it kills a process; processes that another one has started by
    `multiprocessing`, as joblib does, are ended by it. Handlers of the user's stay.
    """
    global _last_interrupt
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    before: dict[signal.Signals, Any] = {}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.default_int_handler
    if (
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        and multiprocessing.parent_process() is None
    ):
        before[signal.SIGTERM] = signal.SIG_DFL
    _last_interrupt = -math.inf
    try:
        for number in before:
            signal.signal(number, _interrupt)
        with ExitStack() as settings:
            for setting in (
                warnings.catch_warnings(), np.errstate(),
                torch.set_grad_enabled(torch.is_grad_enabled()),
            ):
                settings.enter_context(setting)
            for user_api in ("blas", "openmp"):
                settings.callback(_thread_pools(user_api).limit().restore_original_limits)
            try:
                yield
            finally:
                is_interrupted = _last_interrupt > -math.inf
                _last_interrupt = math.inf  # none is heard any more
                # what was interrupted as it began to put one of these back leaves it to this
                # function; else they are left, since another thread may have changed them
                if not is_interrupted:
                    settings.pop_all()
    finally:
        _handle(before)
        _last_interrupt = -math.inf


def _interrupt(signum: int, frame: object) -> None:
    if _is_another_interrupt():
        raise KeyboardInterrupt


def _is_another_interrupt() -> bool:
    """Take note of an interrupt; return whether the last one was more than half a second ago."""
    global _last_interrupt
    now = time.monotonic()
    if now < _last_interrupt + 0.5:
        return False
    _last_interrupt = now
    return True


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within this context, of milliseconds, no Ctrl-C is heard; it counts afterwards.

    For what torch does not put in order again if it is interrupted at a bad instant.
    """
    with interrupts_held(math.inf) as held:
        yield
    if held:
        raise KeyboardInterrupt


@contextmanager
def interrupts_held(n_held: float = 1) -> Iterator[list[int]]:
    """Within this context Ctrl-C raises nothing; the list that it yields has each one that came.

    So too SIGTERM, where it is taken for Ctrl-C. A second one is not held back, unless more are to
    be, nor is any outside the main thread, or where the user has a handler.
    """
    held: list[int] = []

    def hold(signum: int, frame: object) -> None:
        if _is_another_interrupt():
            held.append(signum)
        if len(held) > n_held:
            raise KeyboardInterrupt

    before = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) in (_interrupt, signal.default_int_handler)
    }
    try:
        for number in before:
            signal.signal(number, hold)
        yield held
    finally:
        _handle(before)


def _handle(handlers: dict[signal.Signals, Any]) -> None:
    """Set handlers of signals, though Ctrl-C may come before that is done."""
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def ending_with(parent: int, seconds: float = 0.5) -> Iterator[None]:
    """Within this context a process that `parent` started ends soon after it, however that ended.

    Nobody waits for what it computes then. In other processes, as those on other machines, and on
    Windows, which does not tell, it is of no effect.
    """
    started_by = multiprocessing.parent_process()
    if started_by is None or started_by.pid != parent:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while os.getppid() == parent:
            if done.wait(seconds):
                return
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
