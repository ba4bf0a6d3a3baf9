"""A detector for tests of several processes, which compares its weights with its twin's."""

import torch

from lightloom.modules.detector import Detector


class SameWeights(Detector):
    """Writes down how far apart the processes' weights are in the end."""

    def on_train_end(self) -> None:
        own = torch.cat([p.detach().flatten() for p in self.parameters()])
        apart = (self.all_gather(own) - own).abs().max()
        torch.save(apart, f"{self.trainer.default_root_dir}/apart-{self.global_rank}.pt")
