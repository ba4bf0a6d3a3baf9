"""Predict with a checkpoint: python src/predict.py --help."""

from omegaconf import DictConfig

from lightlab.launch import launch


def predict(cfg: DictConfig) -> None:
    """The classes or the reconstructions of images from files or from a data set's test part; or new images."""
    from lightlab import evaluation, prediction, run

    cfg = run.open_folder(cfg)
    trained, module = evaluation.restore(cfg)
    task = prediction.choose(cfg, module)
    task(cfg, trained, prediction.settle(cfg, module))


if __name__ == "__main__":
    launch(predict, "predict")
