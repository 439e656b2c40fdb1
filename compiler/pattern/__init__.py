"""Rules: patterns over the graph, arithmetic on its constants, and what is put in the place of a match.

`vggc.rewrite` is the door: what passes and steps use is documented there.
"""
