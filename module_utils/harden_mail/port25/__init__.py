"""No AUTH on port 25: what the module ``smtp25_without_auth`` does."""
