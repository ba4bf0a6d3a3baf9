"""Images with a row of numbers each: which labels they have, or values that were measured."""
