"""The nouns: the state table, verdicts, jobs and ids."""
