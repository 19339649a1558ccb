"""Files kept for a while by the service itself, so that a request need but name them.

`policy` says where a file may be put, `send` puts it there, `cache` remembers what was put, and
`storage` makes one of these three (Temp-URL page, 2026).
"""
