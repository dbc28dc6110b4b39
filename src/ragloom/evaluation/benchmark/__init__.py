"""Open-loop load test of a config and its index.

arrivals          planned times and drawn questions
child_program     the processes of a benchmark, and how they talk
load_generator    process that sends the requests; request_channels: over a socket, over HTTP
serving           process that answers them; concurrent_ingest: process that writes meanwhile
request_log       times of the requests of one load
percentiles       percentiles of a histogram, with intervals
capacity          search for the highest rate without a growing backlog
rate_summary      figures of one rate; latency_promise: the verdict on all
dense_recall      recall of dense search against exact search
machine           the machine, and what a process uses of it
benchmark_file    benchmark.json
benchmark_runner  the whole benchmark
"""
