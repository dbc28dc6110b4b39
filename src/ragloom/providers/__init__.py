"""Clients of model providers: requests, credentials, rate limits, retries."""
