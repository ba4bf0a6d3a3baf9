"""What the configuration states of a data set, held against what was found in it."""

from __future__ import annotations

from collections.abc import Sequence

from lightloom.core.errors import UserError


def check_classes(
    name: str, num_classes: int | None, classes: Sequence[str] | None, found: Sequence[str], aside: str = ""
) -> None:
    """Raise UserError where their number or their names are stated, and others were found. aside: about the number."""
    if num_classes not in (None, len(found)):
        more = ", ..." if len(found) > 5 else ""
        raise UserError(
            f"data.num_classes is {num_classes}, but {name} has {len(found)} classes ({', '.join(found[:5])}{more})"
            f"{aside}; set data.num_classes={len(found)}."
        )
    if classes not in (None, found):
        raise UserError(f"data.classes is {classes}, but {name} has {found}; set data.classes=null.")


def check_channels(channels: int, **values: Sequence[float] | None) -> None:
    """Raise UserError where a value for each channel, such as mean and std, is stated for another number of them."""
    for fact, value in values.items():
        if value is not None and len(value) != channels:
            raise UserError(
                f"data.{fact} has {len(value)} values, but data.channels is {channels}; give one value per channel."
            )
