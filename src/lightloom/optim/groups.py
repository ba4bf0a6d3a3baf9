"""What some parameters have for themselves: options by patterns of their names, for the optimizers of any module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, get_type_hints

from annotated_types import Gt, Le
from torch import nn

from lightloom.core.errors import UserError, did_you_mean, raise_all
from lightloom.core.ranges import Count, NotNegative, Positive, problems
from lightloom.optim.patterns import matches, most_specific, reach, unmatched

NamedParameters = list[tuple[str, nn.Parameter]]
WHERE = "model.optimizer_groups"


@dataclass(frozen=True)
class OptimizerGroups:
    """What some parameters have for themselves; patterns as in optim/patterns.py, on the names of a whole module.

    lr_multipliers: pattern -> multiple of the optimizer's rate. decay: pattern -> weight decay; biases and norms
    (one-dimensional), which do not decay, do so only where a pattern names them to their last part. Of several patterns
    that match one parameter the most specific counts. layer_decay: the rate of a layer as a share of that of the layer
    above. bias_lr_multiplier: of biases and norms. Rates multiply, and follow the schedule alike.
    freeze: patterns of what does not learn, and whose layers' statistics stay, for good or for the first
    `unfreeze_at_epoch` epochs. Raises UserError for a value out of range.
    """

    lr_multipliers: Mapping[str, Positive] | None = None
    decay: Mapping[str, NotNegative] | None = None
    layer_decay: Annotated[float, Gt(0), Le(1)] | None = None
    freeze: Sequence[str] | None = None
    unfreeze_at_epoch: Count | None = None
    bias_lr_multiplier: Positive | None = None

    def __post_init__(self) -> None:
        found = problems(vars(self), get_type_hints(type(self), include_extras=True))
        raise_all(f"{WHERE}.{problem}" for problem in found)
        if self.unfreeze_at_epoch is not None and not self.freeze:
            raise UserError(
                f"{WHERE}.unfreeze_at_epoch={self.unfreeze_at_epoch}, but nothing is frozen; set "
                f"{WHERE}.freeze=[<patterns>]."
            )

    @classmethod
    def of(cls, options: Mapping[str, Any] | OptimizerGroups | None, bias_lr: float = 1.0) -> OptimizerGroups:
        """From plain options. bias_lr: where the options have none. Raises UserError for an unknown one."""
        if not isinstance(options, OptimizerGroups):
            known = [field.name for field in fields(cls)]
            raise_all(
                f"{WHERE} has no option {name!r}.{did_you_mean(name, known) or ' It has ' + ', '.join(known) + '.'}"
                for name in options or {}
                if name not in known
            )
            options = cls(**(options or {}))
        return options if options.bias_lr_multiplier is not None else replace(options, bias_lr_multiplier=bias_lr)

    def check(self, module: nn.Module) -> None:
        """Raise UserError for all patterns that match no parameter of the module."""
        names = [name for name, _ in module.named_parameters()]
        options = {"lr_multipliers": self.lr_multipliers, "decay": self.decay, "freeze": self.freeze}
        raise_all(
            problem
            for option, patterns in options.items()
            for problem in unmatched(patterns or (), names, f"{WHERE}.{option}")
        )

    def trained(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> NamedParameters:
        """Those that learn now or later. Raises UserError where nothing is left that learns from the first epoch on."""
        given = list(parameters)
        named = [(name, parameter) for name, parameter in given if parameter.requires_grad]
        moving = [(name, parameter) for name, parameter in named if not matches(name, self.freeze or ())]
        if self.freeze and given and not moving:
            raise UserError(
                f"{WHERE}.freeze leaves nothing of {given[0][0].partition('.')[0]} to train; take a pattern out of "
                f"{', '.join(self.freeze)}."
            )
        return moving if self.unfreeze_at_epoch is None else named

    def lr_factor(self, name: str, parameter: nn.Parameter) -> float:
        """The multiple of the optimizer's rate, layers aside."""
        pattern = most_specific(self.lr_multipliers or (), name)
        factor = 1.0 if pattern is None else (self.lr_multipliers or {})[pattern]
        return factor * (self.bias_lr_multiplier or 1.0) if parameter.ndim <= 1 else factor

    def weight_decay(self, name: str, parameter: nn.Parameter, usual: float) -> float:
        """usual: of what is neither named nor a bias or norm."""
        pattern = most_specific(self.decay or (), name)
        named = pattern is not None and (parameter.ndim > 1 or reach(pattern, name) == len(name.split(".")))
        if pattern is not None and named:
            return (self.decay or {})[pattern]
        return usual if parameter.ndim > 1 else 0.0


PLAIN = OptimizerGroups()
