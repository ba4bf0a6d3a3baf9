"""Detectors, torchvision’s and a YOLO."""
