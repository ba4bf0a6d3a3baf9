"""Predict with a checkpoint: python src/predict.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def predict(cfg: DictConfig) -> None:
    """The classes or the reconstructions of images from files or from a data set's test part; or new images."""
    from lightloom.engine import evaluate, train
    from lightloom.predict import images

    cfg = train.open_run(cfg)
    trained, module = evaluate.restore(cfg)
    task = images.choose(cfg, module)
    task(cfg, trained, images.settle(cfg, module))


if __name__ == "__main__":
    launch(predict, "predict")
