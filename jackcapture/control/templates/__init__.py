"""Session templates: TOML files that describe a session with its streams, shipped or the user's own.

`library` knows where they are, `reading` reads one, `schema` says what may stand in it, and `toml_lines` on which line
a key stands, so that each error names file, line and key.
"""
