"""Losses of autoencoders against loops, their optimum against principal components, and the laws of corruption."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from seeds import seed
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightloom.core.errors import UserError
from lightloom.modules.autoencoder import Autoencoder, psnr
from lightloom.modules.corruption import Gaussian, Masking, SaltAndPepper
from lightloom.networks.autoencoder import Decoder, Encoder
from lightloom.ops.rng import mix_tensor

ADAM = partial(torch.optim.Adam, lr=1e-3)
each_corruption = pytest.mark.parametrize("corruption", [Gaussian, Masking, SaltAndPepper])


def perceptron(**options) -> Autoencoder:
    torch.manual_seed(0)
    encoder, decoder = Encoder(1, 4, 3, hidden=[8]), Decoder(3, 1, 4, hidden=[8])
    return Autoencoder(encoder, decoder, nn.Sigmoid(), ADAM, **options)


def transparent(**options) -> Autoencoder:
    """Gives back what it is given."""
    return Autoencoder(nn.Flatten(), nn.Unflatten(1, (1, 4, 4)), nn.Identity(), ADAM, **options)


def images(count: int = 7) -> Tensor:
    return torch.randint(0, 256, (count, 1, 4, 4), generator=torch.Generator().manual_seed(3)) / 255


def keys(n: int) -> Tensor:
    return mix_tensor(5, torch.arange(n))


def step(module: Autoencoder, x: Tensor) -> Tensor:
    return module.training_step((x, torch.full((len(x),), -1)), 0)


def test_loss_is_the_error_and_what_code_and_weights_cost():
    module, x = perceptron(code_penalty=0.3, weight_penalty=0.02).requires_grad_(False), images()
    error = code = 0.0
    for image in x:
        h = module.encoder(image[None])[0]
        x_hat = module.decoder(h[None])[0].sigmoid()
        error += sum(float(e) ** 2 for e in (x_hat - image).flatten()) / 16 / 7
        code += sum(abs(float(value)) for value in h) / 7
    kernels = [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]  # biases are free
    weights = sum(float(w) ** 2 for kernel in kernels for w in kernel.flatten())
    assert len(kernels) == 4
    assert float(step(module, x)) == pytest.approx(error + 0.3 * code + 0.02 * weights, rel=1e-5)


@pytest.mark.learns
def test_the_best_linear_autoencoder_keeps_the_principal_components():
    """Baldi & Hornik 1989: its error is the variance of the components that the code has no room for."""
    x = images(40)
    lost = torch.linalg.svdvals(x.flatten(1) - x.flatten(1).mean(0))[3:].square().sum() / x.numel()
    torch.manual_seed(seed())
    module = Autoencoder(Encoder(1, 4, 3, hidden=[]), Decoder(3, 1, 4, hidden=[]), nn.Identity(), ADAM)
    optimizer = torch.optim.LBFGS(module.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = step(module, x)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert step(module, x).item() == pytest.approx(float(lost), rel=1e-3)


def test_a_denoiser_is_judged_by_the_clean_image():
    """Of an image that is masked entirely nothing is left but its own energy."""
    x = images()
    assert torch.isclose(step(transparent(corruption=Masking(1.0)), x), x.square().mean())


def test_evaluation_is_of_clean_and_of_corrupted_input():
    module, x = transparent(corruption=Gaussian(0.2)), images(400)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet)

    def test(*batches: Tensor) -> dict[str, float]:
        loader = DataLoader([(batch, batch) for batch in batches], batch_size=None)
        return trainer.test(module, dataloaders=loader, verbose=False)[0]

    whole = test(x)
    torch.manual_seed(1)
    assert test(x[:300], x[300:]) == pytest.approx(whole, rel=1e-5)
    assert whole["test/mse"] == 0
    assert whole["test/psnr"] == 100
    error = 0.2**2 * (2 / x.numel()) ** 0.5  # of the mean square of so many draws
    assert whole["test/mse_corrupted"] == pytest.approx(0.2**2, abs=4 * error)


def test_psnr_is_twenty_decibels_for_a_hundredth():
    assert psnr(torch.tensor([0.01, 0.001, 0.0])).tolist() == pytest.approx([20, 30, 100])


@pytest.mark.parametrize("keyed", [True, False])
def test_corruption_changes_the_share_it_names(keyed):
    """Within four standard errors of n values."""
    n, level = 40_000, 0.3
    x, error = torch.full((n // 16, 1, 4, 4), 0.6), 4 * (level * (1 - level) / n) ** 0.5
    arguments = (x, keys(len(x))) if keyed else (x,)
    masked, salted, noisy = (c(*arguments) for c in (Masking(level), SaltAndPepper(level), Gaussian(level)))
    assert set(masked.unique().tolist()) == {0.0, x[0, 0, 0, 0].item()}
    assert (masked == 0).float().mean() == pytest.approx(level, abs=error)
    assert set(salted.unique().tolist()) == {0.0, x[0, 0, 0, 0].item(), 1.0}
    for extreme in (0, 1):
        assert (salted == extreme).float().mean() == pytest.approx(level / 2, abs=error)
    assert (noisy - x).mean() == pytest.approx(0, abs=4 * level / n**0.5)
    assert (noisy - x).std() == pytest.approx(level, rel=4 / (2 * n) ** 0.5)


@each_corruption
def test_keyed_corruption_is_a_function_of_the_key_alone(corruption):
    corruption, x = corruption(0.3), torch.full((6, 2, 5), 0.6)
    together = corruption(x, keys(6))
    assert torch.equal(together, torch.cat([corruption(x[i : i + 1], keys(6)[i : i + 1]) for i in range(6)]))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(corruption(x), corruption(x))


@each_corruption
def test_no_level_is_no_corruption(corruption):
    assert torch.equal(corruption(0.0)(images()), images())


@pytest.mark.parametrize(("corruption", "level"), [(Masking, 1.5), (SaltAndPepper, -0.1), (Gaussian, -1.0)])
def test_an_impossible_level_is_refused(corruption, level):
    with pytest.raises(UserError, match=rf"^level is {level}; expected"):
        corruption(level)


@pytest.mark.parametrize("penalty", ["code_penalty", "weight_penalty"])
def test_a_negative_penalty_is_refused(penalty):
    with pytest.raises(UserError, match=rf"^{penalty} is -1; expected at least 0"):
        perceptron(**{penalty: -1})
