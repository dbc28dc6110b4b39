"""`executor=ray`: an ingest on the nodes of a Ray cluster.

The driver (the process of `ragloom ingest`) lists the source, compares it with the index, and sends document ids and
locations. One worker actor of each node reads, cuts, embeds and writes them with the stage functions of the local
executor. The driver records the results, repeats what a dead worker had in work, deletes, verifies and commits.

    ray_executor      the executor: joins the cluster, checks it, runs the tasks
    cluster           connection to the cluster, and its nodes
    node_check        pre-flight check of each node: packages, keys, model, source, store
    dispatcher        tasks and workers: what runs where, deaths, retries
    ingest_worker     actor of a node that takes in documents
    task_records      what a task is, and what comes back
    task_writer       writer of a worker whose store only the driver can write (LanceDB): Arrow tables
    model_actor       actor that holds a local embedding model
    shared_services   actor of the whole cluster: budget, rate limits, embedding cache, vectors of the index
    service_clients   the workers' side of it

Ray Data is not used (TRAPS 52): it retries sinks without end, or ends the whole job, or drops data.
"""
