"""Worker processes that cannot hang or crash their caller; entry: `pool.ProcessPool`."""
