"""The nouns: frozen values that every layer above speaks in; standard library only."""
