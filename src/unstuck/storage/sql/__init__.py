"""The promises of storage in SQL: one common text in named blocks, and the plans that say which to run when."""
