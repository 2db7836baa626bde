"""Networks and compiled programs in the formats of other programs.

| file or folder | writes |
|---|---|
| ``nir/`` | NIR graphs, for NIR's own tools and for the importers of the training frameworks; placed programs |
| ``sanafe/`` | a placed program for SANA-FE: the chip and its costs, the network, the core of every neuron |
| ``xylo.py`` | the specification of a program for Xylo that Rockpool takes |
| ``dynapcnn.py`` | the layer table of a program for Speck that sinabs judges |
| ``files.py`` | JSON files, whole or not at all |
"""
