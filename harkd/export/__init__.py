"""From a trained student to files that run on a watch, measured on those files."""
