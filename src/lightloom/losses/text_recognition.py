"""What a reader of text is trained by, and how its logits are read: columns by CTC, or a head for each place."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from lightloom.core.errors import UserError
from lightloom.ops.ctc import BLANK, Reading, beam_search, best_paths, negative_log_likelihood


class CTC(nn.Module):
    """Logits (B, T, K) of columns, and codes int64 (B, L), to the loss of each text in nats, (B,).

    Graves et al. 2006; what it asks of columns, types and gradients is said in ops/ctc.py.
    """

    needs_columns = True

    def forward(self, logits: Tensor, codes: Tensor) -> Tensor:
        return negative_log_likelihood(logits, codes)

    def read(self, logits: Tensor, beam_width: int = 1) -> list[Reading]:
        """The texts of logits (B, T, K): of the most likely path, or with a beam that is wider than 1."""
        return best_paths(logits) if beam_width == 1 else beam_search(logits, beam_width)

    def check(self, min_length: int, max_length: int) -> None:
        """Texts may be of any length."""


class PlaceCrossEntropy(nn.Module):
    """Logits (B, L, K) of places, and codes int64 (B, L), to the loss of each text, (B,): the sum over its places.

    Goodfellow et al. 2014 (arXiv:1312.6082), section 4, without the head for the length.
    """

    needs_columns = False

    def forward(self, logits: Tensor, codes: Tensor) -> Tensor:
        places = logits.shape[1]
        known = pad(codes[:, :places], (0, max(0, places - codes.shape[1])), value=BLANK)
        return cross_entropy(logits.float().transpose(1, 2), known, ignore_index=BLANK, reduction="none").sum(1)

    def read(self, logits: Tensor, beam_width: int = 1) -> list[Reading]:
        """The likeliest symbol of each place, of logits (B, L, K); the beam changes nothing."""
        probabilities = logits.detach().float().softmax(2).cpu()
        best, codes = probabilities[:, :, BLANK + 1 :].max(2)
        places = tuple((i + 0.5) / logits.shape[1] for i in range(logits.shape[1]))
        rows = zip((codes + 1).tolist(), best.tolist(), best.prod(1).tolist(), strict=True)
        return [Reading(tuple(text), tuple(sure), places, whole) for text, sure, whole in rows]

    def check(self, min_length: int, max_length: int) -> None:
        """Raise UserError where texts have several lengths."""
        if min_length != max_length:
            raise UserError(
                f"data.min_length is {min_length} and data.max_length {max_length}: a head for each place needs "
                f"texts of one length; use model=crnn, or data of one length (data=captchas "
                f"data.min_length={max_length})."
            )
