"""What an encoder says of images, checked against the latents that the decoder takes."""

from __future__ import annotations

from torch import Tensor

from lightloom.core.errors import UserError


def check_code(code: Tensor, latent_dim: int) -> Tensor:
    """The code (B, latent_dim) itself; UserError where it has another length."""
    if code.shape[1] != latent_dim:
        raise UserError(
            f"model.encoder.outputs is {code.shape[1]}, but latents have {latent_dim} values; "
            f"set model.encoder.outputs={latent_dim}."
        )
    return code


def moments(statistics: Tensor, latent_dim: int) -> tuple[Tensor, Tensor]:
    """mu and log_var of q(z|x), (B, latent_dim) each, from (B, 2 latent_dim); UserError where it has another length."""
    if statistics.shape[1] != 2 * latent_dim:
        raise UserError(
            f"model.encoder.outputs is {statistics.shape[1]}, but the decoder's {latent_dim} latents need a mean and a "
            f"log variance each; set model.encoder.outputs={2 * latent_dim}."
        )
    mu, log_var = statistics.float().chunk(2, dim=1)
    return mu, log_var
