"""On-disk caches of vectors and of stage results."""
