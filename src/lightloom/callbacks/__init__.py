"""What a run shows or keeps."""
