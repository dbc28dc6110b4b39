"""Evaluation of configs: queries, scores, run folders, sweeps.

index_sync        the index holds what its source holds
requirements      checks before anything is paid
sweep_preflight   problems that all trials of a sweep share
ranking_depth     rankings as deep as the metrics look
query_cache       one query, through the stage cache
query_executor    all queries, concurrently
query_outcome     serializable outcome of one query
scoring, answer_scoring, judging    scores against the gold
run_summary, run_folder, trec_format, environment    files of a run
runner            one config; sweep: many, with sweep_log; sweep_plan, cost_forecast: their dry run
benchmark         open-loop load test of one config
"""
