"""The decisions: what enters, what follows an ending, when a sweeper may trust what it sees."""
