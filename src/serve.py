"""Serve a checkpoint as a web page and an API: python src/serve.py --help."""

from omegaconf import DictConfig

from lightloom.cli.launch import launch


def serve(cfg: DictConfig) -> None:
    """A front that knows neither torch nor pictures, and a process with the model."""
    from lightloom.serve import server

    server.run(cfg)


if __name__ == "__main__":
    launch(serve, "serve")
