"""Batch jobs: files of requests, answered later (Batch-File page, 2026)."""
