"""The doctor: is everything in this store as promised, and if not, which record, since when, and why?"""
