"""A fit on the disk while it runs: the trials that are done, and the training that is under way.

Units and the initial partition are not in it: they follow from the rows and the seed, and are
computed again. Nor are rows.
"""

from __future__ import annotations

import hashlib
import os
import reprlib
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from .. import __version__, files
from .._rows import BLOCK_ROWS, Copies, LazyRows, dense, slices
from .._training import TrainingState
from ..callbacks import EarlyStopping
from ..distributed import Group, digest_of_rows
from ..exceptions import CheckpointWarning, InvalidModelFile, ResumedFitWarning
from ..fitted import to_arrays
from ..packing import pack, unpack
from ..runtime import CPU
from ..versions import check_layout, installed
from .state import Previous

__all__ = ["NO_RUN", "TRAINING", "Checkpoint", "Run"]

#: Parameters that do not change what a fit comes to, beside `random_state`, whose seed is compared.
OF_NO_EFFECT = {
    "checkpoint", "checkpoint_every", "device", "distributed", "n_jobs", "random_state", "verbose",
    "warm_start",
}
TENSORS = "weights", "best_weights", "moments"
SHORT = reprlib.Repr()
SHORT.maxstring = 100
#: Name of the run that follows the trials.
TRAINING = "training"


class Found(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    identity : dict of str to str
        What the fit depends on, in words.
    seed : int
    trials : list of dict
        Those that are done, as plain data.
    run : str
        Which of the trials, or the training that follows, `training` is of; "" if it is of none.
    training : TrainingState or None
    """

    identity: dict[str, str]
    seed: int
    trials: list[dict[str, Any]]
    run: str
    training: TrainingState | None


class Checkpoint:
    """The file from which a fit that was killed goes on.

    In a group of processes all train the same weights: the first one reads and writes.

    Parameters
    ----------
    path : str or None, default=None
        None writes nothing.
    seconds : float
        Between two times that it is written.
    identity : dict of str to str
        What the fit depends on, in words: a file of another fit is refused.

    Attributes
    ----------
    trials : list of dict
        Those that are done, as plain data.
    run : str
        The name of the run that is under way.
    is_writer : bool
        Whether this process writes.
    """

    def __init__(
        self,
        path: str | None = None,
        seconds: float = 0.0,
        identity: dict[str, str] | None = None,
    ) -> None:
        self.path = path
        self.seconds = seconds
        self.identity = identity or {}
        self.seed = 0
        self.trials: list[dict[str, Any]] = []
        self.run = ""
        self._training: TrainingState | None = None
        self.is_writer = path is not None
        self._has_failed = False
        self._written = time.monotonic()

    @classmethod
    def of(
        cls,
        estimator: Any,
        copies: Copies,
        previous: Previous | None,
        early_stopping: EarlyStopping | None,
        group: Group,
    ) -> Checkpoint:
        """Return the checkpoint that the parameters of an estimator ask for.

        Raises
        ------
        ValueError
            If there can be no file of that name.
        ImportError
            If safetensors is not installed.
        """
        if estimator.checkpoint is None:
            return cls()
        path = os.fsdecode(estimator.checkpoint)
        with group.agreement():
            files.check_installed()
            whole = os.path.realpath(path)
            if group.rank == 0 and os.path.isdir(whole):
                raise ValueError(f"checkpoint={path!r} is a folder: name a file in it.")
            if group.rank == 0 and not os.path.isdir(os.path.dirname(whole)):
                raise ValueError(
                    f"checkpoint={path!r} is in a folder that is not there: make it first."
                )
        digests = [_digest(copies.rows, copies.weights)]
        n_rows = len(copies.inverse)
        if not group.has_one_source:
            digests, n_rows = group.gathered(digests[0]), group.sum(n_rows)
        rows = f"{n_rows} rows of {copies.rows.shape[1]} features (digest {', '.join(digests)})"
        rule = None if early_stopping is None else (
            f"{early_stopping!r} (digest {_digest(early_stopping.X_val)})"
        )
        model = None if previous is None else "of digest " + _digest(*(
            array.reshape(-1, 1) for array in to_arrays(previous.fitted.module).values()
        ))
        parameters = estimator.get_params(deep=False)
        return cls(path, float(estimator.checkpoint_every), {
            **{
                name: _plain_text(value) for name, value in parameters.items()
                if name not in OF_NO_EFFECT
            },
            "X, or sample_weight,": rows, "early stopping": str(rule),
            "the model that is trained on": str(model), "the version of skgmvae": __version__,
        })

    def resume(self, seed: int, group: Group, *, is_drawn: bool) -> int:
        """Take over what the file holds, if there is one; return the seed of the fit.

        Parameters
        ----------
        seed : int
        group : Group
        is_drawn : bool
            Whether no seed was asked for, so that any will do.

        Raises
        ------
        InvalidModelFile
            If there is a file, but none that is whole.
        ValueError
            If it is of another fit.
        """
        if self.path is None:
            return seed
        self.is_writer = group.rank == 0
        found = group.of_first(self._read)
        self.seed = seed if found is None or not is_drawn else found.seed
        self.identity["the seed of random_state"] = str(self.seed)
        if found is None:
            return self.seed
        different = [
            f"{name} was {SHORT.repr(before)[1:-1]} and is {SHORT.repr(now)[1:-1]}"
            for name, now in self.identity.items()
            if (before := found.identity.get(name, "not known")) != now
        ]
        if different:
            raise ValueError(
                f"checkpoint={self.path!r} is of another fit: {'; '.join(different)}. Remove the "
                "file to begin anew, or pass another path."
            )
        self.trials, self.run, self._training = found.trials, found.run, found.training
        n_epochs = 0 if found.training is None else len(found.training.losses)
        warnings.warn(
            ResumedFitWarning(
                f"The fit goes on from checkpoint={self.path!r}, after {n_epochs} epochs"
                f"{'' if found.run == TRAINING else f' of trial {len(found.trials) + 1}'}. Remove "
                "the file to begin anew."
            ),
            stacklevel=2,
        )
        return self.seed

    def run_of(self, name: str = TRAINING) -> Run:
        """Return the run of that name, which goes on if it is the one that was under way."""
        resumed = self._training if name == self.run else None
        self.run, self._training = name, None
        return Run(self, resumed)

    def add_trial(self, trial: dict[str, Any]) -> None:
        """Write that a trial is done."""
        self.trials.append(trial)
        self.run = ""
        if self.is_writer:
            self.write(None)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return self.is_writer and time.monotonic() - self._written >= self.seconds

    def write(self, training: TrainingState | None) -> None:
        """Write how far the fit has come. It goes on if that fails."""
        assert self.path is not None
        state = Found(self.identity, self.seed, self.trials, self.run, training)
        plain = state._asdict() | {"training": training and _to_plain(training)}
        try:
            files.write(self.path, pack(plain), installed(), keeps_previous=True)
        except (OSError, ValueError) as error:
            if not self._has_failed:
                self._has_failed = True
                warnings.warn(
                    CheckpointWarning(
                        f"checkpoint={self.path!r} could not be written: {error}. The fit goes on "
                        "and tries again."
                    ),
                    stacklevel=2,
                )
        self._written = time.monotonic()

    def _read(self) -> Found | None:
        """Return what the file holds, or the one before if it is damaged; None if there is none."""
        assert self.path is not None
        try:
            return _read(self.path)
        except FileNotFoundError:
            return None
        except InvalidModelFile as error:
            try:
                return _read(files.previous_of(self.path))
            except (FileNotFoundError, InvalidModelFile):
                raise InvalidModelFile(
                    f"checkpoint={self.path!r} holds no fit that can go on: {error} Remove it to "
                    "begin anew, or pass another path."
                ) from error


class Run(NamedTuple):
    """A training run of a fit, a trial or the one that follows, as its checkpoint sees it.

    Attributes
    ----------
    checkpoint : Checkpoint
    resumed : TrainingState or None
        From which it goes on.
    """

    checkpoint: Checkpoint
    resumed: TrainingState | None = None

    def resumed_with(self, objective: nn.Module) -> TrainingState | None:
        """Return the state to go on from.

        Raises
        ------
        ValueError
            If it is of an objective with other weights.
        """
        if self.resumed is not None:
            shapes, found = (
                {name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()}
                for weights in (objective.state_dict(), self.resumed.weights)
            )
            if shapes != found:
                raise ValueError(
                    f"checkpoint={self.checkpoint.path!r} is of other networks, by the shapes of "
                    "their weights. Remove the file to begin anew, or pass another path."
                )
        return self.resumed

    def keep(self, state: Callable[[], TrainingState], *, at_once: bool = False) -> None:
        """Write the state of training, if it is time to, or at once."""
        checkpoint = self.checkpoint
        if checkpoint.is_due or (at_once and checkpoint.is_writer):
            checkpoint.write(state())


#: Of a fit that writes nothing.
NO_RUN = Run(Checkpoint())


def _to_plain(state: TrainingState) -> dict[str, Any]:
    tensors = {
        name: {key: tensor.cpu().numpy() for key, tensor in getattr(state, name).items()}
        for name in TENSORS
    }
    return state._asdict() | tensors | {
        "losses": np.array(state.losses, np.float64),
        "records": np.array(state.records, np.float64),
        "of_steps": np.array([record.tolist() for record in state.of_steps], np.float32),
    }


def _read(path: str) -> Found:
    with files.opened(path) as file:
        check_layout(file.versions)
        return _from_plain(unpack(file.read()))


def _from_plain(plain: Any) -> Found:
    """Return what is stored.

    Raises
    ------
    ValueError
        If that is no fit under way.
    """
    try:
        found = Found(**plain)
        if found.training is None:
            return found
        training: dict[str, Any] = dict(cast(Any, found.training))
        for name in TENSORS:
            training[name] = {
                key: torch.tensor(value, device=CPU) for key, value in training[name].items()
            }
        for name in ("losses", "records"):
            training[name] = training[name].tolist()
        training["of_steps"] = list(torch.tensor(training["of_steps"], device=CPU))
        return found._replace(training=TrainingState(**training))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("it is of no fit that is under way.") from error


def _plain_text(value: Any) -> str:
    """Return the value of a parameter as text that is the same in another process."""
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{name}"
    if isinstance(value, str | None):
        return repr(value)
    return repr(np.asarray(value).tolist())


def _digest(*parts: Any) -> str:
    """Return a digest of arrays and matrices, which may be None; of rows in a file, of some."""
    found = hashlib.blake2b(digest_size=6)
    for part in parts:
        if isinstance(part, LazyRows):
            found.update(digest_of_rows(part))
        elif part is not None:
            for block in slices(part.shape[0], BLOCK_ROWS):
                found.update(digest_of_rows(dense(part[block])))
        found.update(str(None if part is None else (part.shape, part.dtype)).encode())
    return found.hexdigest()
