"""Tests of the repository as a text: layers, sizes, names, SQL, documents, and what goes into the wheel."""
