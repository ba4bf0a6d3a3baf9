"""Predict with a checkpoint: python src/predict.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def predict(cfg: DictConfig) -> None:
    """What the module can do with what is given: one of the capabilities in src/lightloom/predict."""
    from lightloom.engine import evaluate, train
    from lightloom.predict import choose, untrained

    cfg = train.open_run(cfg)
    trained, module = untrained.detector(cfg) if cfg.get("model") else evaluate.restore(cfg)
    capability = choose.choose(cfg, trained, module)
    capability.run(cfg, trained, choose.settle(cfg, module))


if __name__ == "__main__":
    launch(predict, "predict")
