"""Vectors of texts, images and videos, and the ranking of documents by relevance to a query."""
