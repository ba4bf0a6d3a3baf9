"""What predict.py does with a checkpoint."""
