"""Recipes in editors: what is wrong, what a word means, what may follow, where a name is declared (`vggc lsp`).

`server` alone knows pygls and the protocol; the other modules answer questions about a text and an offset in it.
"""
