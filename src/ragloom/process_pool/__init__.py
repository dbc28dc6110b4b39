"""Work in processes of its own, bounded in time and memory: see `ragloom.process_pool.pool`. Knows no stage."""
