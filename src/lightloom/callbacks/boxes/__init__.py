"""Draw and plot the detections of a detector."""
