"""Query pipeline: index selection, retrieval, answer and citations."""
