"""Objects through a video: frames, tracks, steady boxes, MOT files and measures."""
