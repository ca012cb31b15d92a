"""Programs and files of others that are fetched on request: pinned, locked by SHA-256, kept in a cache of their own."""
