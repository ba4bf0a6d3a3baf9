"""Look at a data set before training on it: python src/inspect_data.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def inspect(cfg: DictConfig) -> None:
    """What the data holds: of boxes their classes, sizes and faults, and a page of images; of other data its splits."""
    from lightloom.engine import train
    from lightloom.predict import inspection

    cfg = train.open_run(cfg)
    datamodule = inspection.read(cfg)
    inspection.choose(datamodule)(datamodule, cfg)


if __name__ == "__main__":
    launch(inspect, "inspect_data")
