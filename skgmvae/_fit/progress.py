"""What `verbose` prints: where training stands, in words and units of the user's."""

from __future__ import annotations

import math
from time import monotonic

import torch
from torch import Tensor

from .._model import GMVAE
from .._objective import Terms
from .._rows import BLOCK_ROWS, Rows
from .._training import Schedule
from .records import VALIDATION, Recorded

__all__ = ["Progress"]


class Progress:
    """Prints lines about a training run; looks at the module, and changes nothing of it.

    Clusters are those of a block of rows, evenly among all, and only where a line is printed.

    Parameters
    ----------
    module : GMVAE
        That is trained.
    rows : Rows
    schedule : Schedule
    trial : int or None
        Number of the trial, if it is one.
    verbose : int
        0 prints nothing, 1 prints 11 lines at most, 2 a line an epoch.
    log_volume : float
        From the bound in the model's units to that in the units of X.
    """

    def __init__(
        self,
        module: GMVAE,
        rows: Rows,
        schedule: Schedule,
        *,
        trial: int | None,
        verbose: int,
        log_volume: float,
    ) -> None:
        self._module = module
        self._rows = rows
        self._schedule = schedule
        self._prefix = "" if trial is None else f"trial {trial + 1}  "
        self._verbose = verbose
        self._log_volume = log_volume
        self._began = monotonic()
        self._n_done = 0
        self._labels: Tensor | None = None
        self._every = 1 if verbose > 1 else max(1, math.ceil(schedule.n_epochs / 10))
        stride = math.ceil(rows.n_rows / BLOCK_ROWS)
        self._some = torch.arange(0, rows.n_rows, stride, device=rows.home)

    def show(self, epoch: int, record: Recorded) -> None:
        """Print a line after an epoch, if it is time for one."""
        number, last = epoch + 1, self._schedule.end
        self._n_done += 1
        if not self._verbose or (epoch % self._every and number != last):
            return
        bound = Terms(*(record[name] for name in Terms._fields)).bound - self._log_volume
        parts = [f"epoch {number}/{last}", f"bound {bound:.2f}"]
        if VALIDATION in record:
            parts.append(f"validation {record[VALIDATION]:.2f}")
        labels = self._labels_now()
        n_clusters = self._module.n_components
        parts.append(f"{len(labels.unique())} of {n_clusters} clusters")
        if self._labels is not None:
            changed = float((labels != self._labels).float().mean())
            parts.append(f"{changed:.1%} of rows changed")
        self._labels = labels
        seconds = (monotonic() - self._began) / self._n_done * (last - number)
        parts.append(f"{seconds:.0f} s left")
        print(self._prefix + "  ".join(parts))

    def show_stop(self, n_epochs: int) -> None:
        """Print that training has ended before the end of the schedule."""
        if self._verbose:
            print(f"{self._prefix}stopped after {n_epochs} epochs")

    @torch.no_grad()
    def _labels_now(self) -> Tensor:
        mode = self._module.training
        self._module.eval()
        posterior = self._module.q(self._rows.take(self._some))
        labels = self._module.cluster_logits(posterior).argmax(1)
        self._module.train(mode)
        return labels
