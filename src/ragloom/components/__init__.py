"""Components of a pipeline: one package per conf group."""
