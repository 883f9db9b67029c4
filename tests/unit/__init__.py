"""Small, fast, exact tests of the pure parts."""
