"""The tasks of a fit, of which the estimator's callbacks are told: scikit-learn's protocol.

A fit has a task for each epoch; with `n_init` one for each trial and for the training that
follows, which have those of epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..distributed import ALONE, Group

__all__ = ["NO_TASK", "FitTask"]


class FitTask:
    """A task of a fit. Where nobody has callbacks, all that follows does nothing.

    Parameters
    ----------
    estimator : GMVAEClustering
        Whose callbacks are told.
    X, y : array-like
        As they were passed to `fit`.
    attributes : dict, default=None
        Of a fitted copy of the estimator: those that are known before the fit.
    group : Group, default=ALONE
        Processes that fit together. Each tells its own callbacks, if it has any.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any = None,
        y: Any = None,
        attributes: dict[str, Any] | None = None,
        group: Group = ALONE,
    ) -> None:
        self.estimator = estimator
        self.X = X
        self.y = y
        self.attributes = attributes or {}
        self.group = group
        self._context: Any = None
        self._has_callbacks = bool(getattr(estimator, "_skl_callbacks", ()))
        self.is_watched = bool(group.sum(int(self._has_callbacks)))
        #: From a module and the records of all epochs so far to what `end` passes on.
        self.snapshot: Callable[..., dict[str, Any]] = dict

    def begin_fit(self, n_subtasks: int) -> None:
        """Set the callbacks up, and tell them that the fit begins."""
        if self.is_watched:
            with self.group.agreement():
                if self._has_callbacks:
                    self._context = self.estimator._init_callback_context(max_subtasks=n_subtasks)
        self.begin()

    def subtask(self, name: str, n_subtasks: int = 0) -> FitTask:
        """Return a part of this task, which has parts of its own; they follow one another."""
        if not self.is_watched:
            return NO_TASK  # which takes no rows along to another process
        task = FitTask.__new__(FitTask)
        task.__dict__ = vars(self).copy()
        if self._has_callbacks:
            task._context = self._context.subcontext(task_name=name, max_subtasks=n_subtasks)
        return task

    def begin(self) -> None:
        """Tell the callbacks that the task begins."""
        if self.is_watched:
            with self.group.agreement():
                if self._has_callbacks:
                    self._context.call_on_fit_task_begin(
                        estimator=self.estimator, X=self.X, y=self.y
                    )

    def end(self, made: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Tell the callbacks that the task has ended; return whether one of them asks to stop.

        Parameters
        ----------
        made : callable or None, default=None
            Returns the other attributes of a fitted copy of the estimator. It is called only if a
            callback asks for such a copy, and must exchange nothing in a group.
        """
        if not self.is_watched:
            return False
        stops = False
        with self.group.agreement():
            if self._has_callbacks:
                stops = self._context.call_on_fit_task_end(
                    estimator=self.estimator, X=self.X, y=self.y,
                    reconstruction_attributes=made and (lambda: self.attributes | made()),
                )
        return bool(self.group.sum(int(stops)))


#: Of a fit that nobody looks at.
NO_TASK = FitTask(None)
