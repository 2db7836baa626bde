"""How populations become cores and cores find their places: the algorithms behind ``Partition`` and ``Place``."""
