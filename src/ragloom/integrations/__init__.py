"""Adapters to other tools: LlamaIndex drop-ins, executors, trackers and tracing (reserved)."""
