"""The session templates that are shipped; README.md tells of them."""
