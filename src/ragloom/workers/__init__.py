"""Work in processes of its own, bounded in time and memory: see `ragloom.workers.pool`. Knows no stage."""
