"""Finds damage in a store, and makes its catalog anew.

- check: compares files, rows and documents; `check_content`, `check_rows`, `check_documents` and `check_data` look at
  one of them each, at a `check_place`.
- rebuild: a new catalog from the documents and files of the store (`documents_reading`, `store_contents`,
  `rebuilt_take`), put in the place of the old one (`swap`).
- offline: both while no control runs.
"""
