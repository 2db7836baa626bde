"""Networks in the formats of other programs.

| folder | writes |
|---|---|
| ``nir/`` | NIR graphs, for NIR's own tools and for the importers of the training frameworks |
"""
