"""The private names of torch and torchmetrics that lightloom uses, and one of Lightning, each under a public name.

Seen in torch 2.15 and torchmetrics 1.9. Where torch has a fused function no more, each tensor is taken
by itself: the same numbers, later. Where DDP reads `_ddp_params_and_buffers_to_ignore` no more, it copies a few numbers
more; a OneCycleLR without `_schedule_phases` raises AttributeError when it is loaded. Where torchmetrics calls
`_sync_dist` no more, `gather_states` is not called, and tests/metrics/test_detection_measures.py says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import queues
from typing import Any

import torch
from torch import Tensor, nn
from torch._utils import ExceptionWrapper

from lightloom.core.errors import UserError

CURRENT_HOOK = "_current_fx_name"  # of a LightningModule (2.6): the hook that runs, by which `log` finds its defaults
ONE_CYCLE_LENGTH = ("total_steps", "_schedule_phases")  # of a OneCycleLR: what follows from the length of a run

_check = getattr(torch, "_amp_foreach_non_finite_check_and_unscale_", None)
_norms = getattr(torch, "_foreach_norm", None)
_clamp_min, _clamp_max = (getattr(torch, f"_foreach_clamp_{end}_", None) for end in ("min", "max"))
_ONE = torch.ones(1)


def all_finite(tensors: list[Tensor]) -> bool:
    """Whether no value of these tensors, each (...) on a CPU, is NaN or infinite: a GradScaler's check, in one call.

    Raises RuntimeError for a tensor that is sparse, complex or expanded.
    """
    if _check is None:
        return all(bool(x.isfinite().all()) for x in tensors)
    _check(tensors, found := torch.zeros(1), _ONE)
    return not found.item()


def norms(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The 2-norm of each tensor: ()."""
    return _norms(tensors) if _norms else [torch.linalg.vector_norm(x) for x in tensors]


def clamp_(tensors: list[Tensor], low: float, high: float) -> None:
    """Clamp each value of the tensors, (...) each, to [low, high] in place."""
    if _clamp_min and _clamp_max:
        _clamp_min(tensors, low)
        _clamp_max(tensors, high)
        return
    for x in tensors:
        x.clamp_(low, high)


def leave_out_of_ddp(module: nn.Module, names: Sequence[str]) -> None:
    """Let DDP exchange neither these parameters nor these buffers, which are the same everywhere."""
    module._ddp_params_and_buffers_to_ignore = list(names)  # type: ignore[assignment]


def average_of(averaging: Any) -> Any:
    """The module with the averages of Lightning's WeightAveraging; None before it is set up."""
    return averaging._average_model and averaging._average_model.module


def last_update(averaging: Any) -> int:
    """The step after which Lightning's WeightAveraging has averaged last."""
    return averaging._latest_update_step  # type: ignore[no-any-return]


class GathersAsWhole:
    """A torchmetrics.Metric, as its first base, that brings its states together itself."""

    def gather_states(self, process_group: Any) -> None:
        """Replace the states of this process by those of all."""
        raise NotImplementedError

    def _sync_dist(self, dist_sync_fn: Any = None, process_group: Any = None) -> None:
        self.gather_states(process_group)


def report_unsent(worker: int) -> None:
    """Let a loader's worker say that it cannot hand over its batch (a hook of Python's queues, 3.11 to 3.13).

    Without it the batch is dropped and the loader waits until its timeout.
    """
    queues.Queue._on_queue_feeder_error = _send_reason  # type: ignore[attr-defined]


def _send_reason(queue: Any, error: Exception, batch: tuple[int, Any]) -> None:
    """In place of a batch, with its number, what the loader raises there."""
    reason = UserError(
        f"A loader's worker cannot hand over its batch ({error}); set data.num_workers=0, or give /dev/shm more room "
        "(docker run --shm-size=8g)."
    )
    queue.put((batch[0], ExceptionWrapper((UserError, reason, None), "in a worker")))
