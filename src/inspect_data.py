"""Look at a data set with boxes before training on it: python src/inspect_data.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def inspect(cfg: DictConfig) -> None:
    """Tables of classes and sizes, the faults that were found, and inspection.png: images with their boxes."""
    from lightloom.engine import train
    from lightloom.predict.boxes import inspection

    cfg = train.open_run(cfg)
    datamodule = inspection.read(cfg)
    inspection.report(datamodule)
    inspection.draw(datamodule, cfg.split, cfg.num_images, cfg.paths.output_dir)


if __name__ == "__main__":
    launch(inspect, "inspect_data")
