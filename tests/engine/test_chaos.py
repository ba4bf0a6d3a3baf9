"""One command, interrupted at random and repeated until it is done, trains as if nothing had happened.

Compared are every step's batch and losses, all that the last checkpoint holds, and the log.
"""

import pytest
from interruptions import until_done

FEW = ("callbacks.quality.val_samples=40", "callbacks.quality.test_samples=40", "data.eval_batch_size=90")
RUNS = {
    "classifier": ("model=lenet", "model.network.norm=batch", "callbacks=ema", "trainer.accumulate_grad_batches=2"),
    "GAN, k = 5": ("model=wgan_gp", "model.n_critic=5", "model.generator.width=4", "model.discriminator.width=4", *FEW),
}


@pytest.mark.parametrize("name", RUNS)
def test_chaos(tmp_path, name):
    options = ("data=digits", "trainer.max_epochs=3", "trainer.limit_train_batches=12", "test=false", "preflight=false")
    chaos = until_done(tmp_path, (*RUNS[name], *options, "callbacks.checkpoint.every_n_steps=2"), most=6, wait=0.02)
    assert len(chaos.endings) >= 4
    assert not chaos.wrong, (chaos.endings, chaos.wrong)
