"""Predict with a checkpoint: python src/predict.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def predict(cfg: DictConfig) -> None:
    """What the module can do with what is given: one of the capabilities in src/lightloom/predict."""
    from pathlib import Path

    from lightloom.core.screen import say
    from lightloom.engine import evaluate, train
    from lightloom.predict import choose, exported
    from lightloom.reporting import inspected

    cfg = train.open_run(cfg)
    if cfg.get("model"):
        trained, module = choose.untrained(cfg)
    else:
        trained, module = (exported if exported.is_exported(cfg.ckpt_path) else evaluate).restore(cfg)
    capability = choose.choose(cfg, trained, module)
    found = capability.run(cfg, trained, choose.settle(cfg, module))
    if found is not None:
        say(f"Page: {inspected.write(found, Path(cfg.paths.output_dir), f'{found.title.lower()}.html')}")


if __name__ == "__main__":
    launch(predict, "predict")
