"""The doctor on stores in which something was broken by hand, on each engine."""
