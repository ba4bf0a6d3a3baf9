"""What capabilities add to reports and cards: a file each, with a `Chapter` (see `lightloom.reporting.contract`)."""
