"""The command line as people and scripts meet it: words in, lines, documents and exit codes out."""
