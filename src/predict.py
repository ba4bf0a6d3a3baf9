"""Predict with a checkpoint: python src/predict.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def predict(cfg: DictConfig) -> None:
    """What the module can do with what is given: one of the capabilities in src/lightloom/predict."""
    from lightloom.engine import evaluate, train
    from lightloom.predict import choose, exported

    cfg = train.open_run(cfg)
    if cfg.get("model"):
        trained, module = choose.untrained(cfg)
    else:
        trained, module = (exported if exported.is_exported(cfg.ckpt_path) else evaluate).restore(cfg)
    capability = choose.choose(cfg, trained, module)
    capability.run(cfg, trained, choose.settle(cfg, module))


if __name__ == "__main__":
    launch(predict, "predict")
