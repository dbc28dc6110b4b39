"""On-disk cache of stage results, keyed by all of a stage's inputs."""
