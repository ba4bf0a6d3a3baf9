"""What predict.py does with a checkpoint, and what inspect_data.py says of a data set: a folder for each capability.

A folder with a `predictor.py` (see `contract`) is found by that name; `command.py` beside it reads the files that
predict.py was given and writes its results. A folder with an `inspection.py` tells inspect_data.py of its kind of data.
"""
