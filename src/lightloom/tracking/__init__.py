"""Object tracking in videos: frames, tracks, smoothing, MOT files and metrics."""
