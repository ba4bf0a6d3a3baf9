"""Follow and steady boxes that another program found: python src/smooth.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def smooth(cfg: DictConfig) -> None:
    """MOT text or a CSV of boxes in; both, with numbers that follow objects and boxes without jitter, out."""
    from lightloom.engine import train
    from lightloom.predict.boxes import tracks

    tracks.smooth(train.open_run(cfg))


if __name__ == "__main__":
    launch(smooth, "smooth")
