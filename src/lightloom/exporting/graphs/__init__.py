"""What is exported of a module: a file for each capability, with a `Graph` (see `lightloom.exporting.contract`)."""
