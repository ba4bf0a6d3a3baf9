"""The flow of a run: train, evaluate, resume; checkpoints, devices, processes."""
