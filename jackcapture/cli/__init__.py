"""The command line: a door. It parses, calls an operation through the client, and shows the result.

Results go to standard output, as text or as one JSON document; messages and progress go to standard error. Modules
that take long to import are imported where they are used: `jackcapture status` answers within 0.3 s.
"""
