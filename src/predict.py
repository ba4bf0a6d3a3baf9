"""Predict with a checkpoint: python src/predict.py --help."""

from omegaconf import DictConfig

from lightlab.launch import launch


def predict(cfg: DictConfig) -> None:
    """Class probabilities for images from files or from a data set's test part, written to predictions.csv."""
    from lightlab import evaluation, prediction, run

    cfg = run.open_folder(cfg)
    trained, module = evaluation.restore(cfg)
    images = prediction.open_images(cfg, trained)
    probabilities = prediction.predict(cfg, trained, module, images)
    prediction.write(cfg, trained, images, probabilities)


if __name__ == "__main__":
    launch(predict, "predict")
