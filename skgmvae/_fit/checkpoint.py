"""A fit on the disk while it runs: the trials that are done, and the training that is under way.

Units and the initial partition are not in it: they follow from the rows and the seed, and are
computed again. Nor are rows.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn

from .. import files
from .._rows import Copies
from .._training import Adam, TrainingState
from ..callbacks import EarlyStopping
from ..distributed import ALONE, Group
from ..exceptions import CheckpointWarning, InvalidModelFile, ResumedFitWarning
from ..packing import pack, unpack
from ..runtime import CPU, warn
from ..versions import check_layout, installed
from .identity import difference, identity_of
from .state import Previous

__all__ = ["NO_CHECKPOINT", "TRAINING", "Checkpoint", "RunCheckpoint"]

TENSORS = "weights", "best_weights", "moments"
#: Name of the run that follows the trials.
TRAINING = "training"


class Content(NamedTuple):
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
    group : Group, default=ALONE

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
        group: Group = ALONE,
    ) -> None:
        self.path = path
        self.seconds = seconds
        self.identity = identity or {}
        self.seed = 0
        self.trials: list[dict[str, Any]] = []
        self.run = ""
        self.is_writer = path is not None and group.rank == 0
        self._group = group
        self._training: TrainingState | None = None
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
        path = os.path.abspath(os.fsdecode(estimator.checkpoint))
        with group.agreement():
            files.check_installed()
            if group.rank == 0 and os.path.isdir(path):
                raise ValueError(f"checkpoint={path!r} is a folder: name a file in it.")
            if group.rank == 0 and not os.path.isdir(os.path.dirname(os.path.realpath(path))):
                raise ValueError(
                    f"checkpoint={path!r} is in a folder that is not there: make it first."
                )
        identity = identity_of(estimator, copies, previous, early_stopping, group)
        return cls(path, float(estimator.checkpoint_every), identity, group)

    def resume(self, seed: int, *, is_drawn: bool) -> int:
        """Take over what the file holds, if there is one; return the seed of the fit.

        Parameters
        ----------
        seed : int
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
        found = self._group.of_first(self._read)
        self.seed = seed if found is None or not is_drawn else found.seed
        self.identity["the seed of random_state"] = str(self.seed)
        if found is None:
            return self.seed
        different = [
            f"{name} {difference(before, now)}"
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
        warn(ResumedFitWarning(
            f"The fit goes on from checkpoint={self.path!r}, after {n_epochs} epochs"
            f"{'' if found.run == TRAINING else f' of trial {len(found.trials) + 1}'}. Remove "
            "the file to begin anew."
        ))
        return self.seed

    def of_run(self, name: str) -> RunCheckpoint:
        """Return the checkpoint of a run, which goes on if it is the one that was under way."""
        resumed = self._training if name == self.run else None
        self.run, self._training = name, None
        return RunCheckpoint(self, resumed)

    def keep_trials(self, trials: list[dict[str, Any]]) -> None:
        """Note which trials are done, and write it if it is time to."""
        self.trials, self.run = trials, ""
        if self.is_due:
            self.write(None)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return self.is_writer and time.monotonic() - self._written >= self.seconds

    def write(self, training: TrainingState | None) -> None:
        """Write how far the fit has come. It goes on if that fails."""
        assert self.path is not None
        state = Content(self.identity, self.seed, self.trials, self.run, training)
        plain = state._asdict() | {"training": training and _to_plain(training)}
        try:
            files.write(self.path, pack(plain), installed(), keeps_previous=True)
        except (OSError, ValueError) as error:
            if not self._has_failed:
                self._has_failed = True
                warn(CheckpointWarning(
                    f"checkpoint={self.path!r} could not be written: {error}. The fit goes on "
                    "and tries again."
                ))
        self._written = time.monotonic()

    def _read(self) -> Content | None:
        """Return what the file holds, or the one before if it is damaged; None if there is none."""
        assert self.path is not None
        files.remove_unfinished(self.path)
        try:
            return _read(self.path)
        except FileNotFoundError:
            return None
        except InvalidModelFile as error:
            previous = files.previous_of(self.path)
            try:
                found = _read(previous)
            except (FileNotFoundError, InvalidModelFile):
                raise self.unfit(error) from error
            with suppress(OSError):
                os.replace(previous, self.path)  # else the next write would drop the only one
            return found

    def unfit(self, reason: object) -> InvalidModelFile:
        """Return the error of a file that holds no fit that can go on."""
        return InvalidModelFile(
            f"checkpoint={self.path!r} holds no fit that can go on: {reason} Remove it to begin "
            "anew, or pass another path."
        )


class RunCheckpoint(NamedTuple):
    """The checkpoint of one training run of a fit: of a trial, or of the training that follows.

    Attributes
    ----------
    checkpoint : Checkpoint
        Of the fit.
    resumed : TrainingState or None
        From which it goes on.
    """

    checkpoint: Checkpoint
    resumed: TrainingState | None = None

    def resumed_with(self, objective: nn.Module, n_recorded: int) -> TrainingState | None:
        """Return the state to go on from, which is one of such an objective.

        Raises
        ------
        ValueError
            If it is of an objective with other weights.
        InvalidModelFile
            If it is of no objective.
        """
        state = self.resumed
        if state is None:
            return None
        expected = _shapes(objective.state_dict())
        if _shapes(state.weights) != expected:
            raise ValueError(
                f"checkpoint={self.checkpoint.path!r} is of other networks, by the shapes of their "
                "weights. Remove the file to begin anew, or pass another path."
            )
        if (
            _shapes(state.best_weights) != expected
            or _shapes(state.moments) != _shapes(Adam(objective).moments())
            or {len(record) for record in state.records} - {n_recorded}
        ):
            raise self.checkpoint.unfit("its parts do not go together.")
        return state

    def keep(self, state: Callable[[], TrainingState], *, at_once: bool = False) -> None:
        """Write the state of training, if it is time to, or at once."""
        checkpoint = self.checkpoint
        if checkpoint.is_due or (at_once and checkpoint.is_writer):
            checkpoint.write(state())


#: Of a run of which nothing is written.
NO_CHECKPOINT = RunCheckpoint(Checkpoint())


def _to_plain(state: TrainingState) -> dict[str, Any]:
    tensors = {
        name: {key: tensor.cpu().numpy() for key, tensor in getattr(state, name).items()}
        for name in TENSORS
    }
    return state._asdict() | tensors | {
        "losses": np.array(state.losses, np.float64),
        "records": np.array(state.records, np.float64),
        "step_records": np.array([record.tolist() for record in state.step_records], np.float32),
    }


def _read(path: str) -> Content:
    with files.opened(path) as file:
        check_layout(file.versions)
        return _from_plain(unpack(file.read()))


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _from_plain(plain: Any) -> Content:
    """Return what is stored.

    Raises
    ------
    ValueError
        If that is no fit under way.
    """
    try:
        found = Content(**plain)
        _need(
            isinstance(found.identity, dict) and type(found.seed) is int
            and isinstance(found.trials, list) and type(found.run) is str
        )
        if found.training is None:
            return found
        training: dict[str, Any] = dict(cast(Any, found.training))
        for name in TENSORS:
            tensors = training[name] = {
                key: torch.tensor(value, device=CPU) for key, value in training[name].items()
            }
            if name == "best_weights" or not len(training["step_records"]):  # an epoch may fail
                _need(all(bool(tensor.isfinite().all()) for tensor in tensors.values()))
        for name in ("losses", "records"):
            training[name] = training[name].tolist()
        training["step_records"] = list(torch.tensor(training["step_records"], device=CPU))
        state = TrainingState(**training)
        _need(
            len(state.losses) >= len(state.records) and type(state.n_retries) is int
            and 0 < state.learning_rate < math.inf and type(state.stopped) is bool
            and type(state.best_loss) is float
        )
        return found._replace(training=state)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("it is no checkpoint.") from error


def _need(condition: bool) -> None:
    if not condition:
        raise ValueError("it is no checkpoint.")
