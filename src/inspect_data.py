"""Look at a data set before training on it: python src/inspect_data.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def inspect(cfg: DictConfig) -> None:
    """What the data holds and what is wrong with it: tables, pictures, and a page of both."""
    from pathlib import Path

    from lightloom.core.screen import say
    from lightloom.engine import train
    from lightloom.predict import inspection
    from lightloom.reporting import inspected

    cfg = train.open_run(cfg)
    datamodule = inspection.read(cfg)
    found = inspection.choose(datamodule)(datamodule, cfg)
    if found is not None:
        say(f"Page: {inspected.write(found, Path(cfg.paths.output_dir))}")


if __name__ == "__main__":
    launch(inspect, "inspect_data")
