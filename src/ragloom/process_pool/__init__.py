"""Worker processes in which no item can hang, crash or fill the machine; the entry is `pool.ProcessPool`."""
