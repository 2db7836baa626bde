"""Torch modules to networks: capture by a concrete run, fold over time, one adapter table per framework.

| file | what |
|---|---|
| ``load.py`` | ``load_torch``: the way through |
| ``isolate.py`` | private copies; the user's module, states and random numbers stay as they were |
| ``capture.py`` | one run, recorded: calls of layers and of torch functions, with their call sites |
| ``values.py`` | what a recorded tensor means: expressions over spikes and input frames, axis labels |
| ``layout.py`` | reshapes, transpositions, indexing: axes of time, batch and features |
| ``calls.py``, ``functions.py`` | what each torch function does to such values: the table of handlers |
| ``shaping.py``, ``arithmetic.py`` | the handlers of views and joins, of sums and factors |
| ``products.py``, ``einsum.py`` | products of spikes as neurons without memory; ``einsum`` as products and matrices |
| ``hosting.py``, ``islands.py`` | functions for the host: their handlers, and their calls step by step |
| ``operations.py`` | linear operations, each made once |
| ``layers.py`` | torch.nn layers as linear operations |
| ``adapters.py`` | what an adapter file gives for each neuron class |
| ``snntorch.py``, ``spikingjelly.py``, ``norse.py``, ``sinabs.py``, ``rockpool.py`` | their neurons as canonical ones |
| ``register.py`` | ``register_neuron``: neuron classes of the user's own |
| ``handwritten.py``, ``template.py``, ``gates.py`` | neurons written in ``forward``: found, told, and their masks |
| ``sequences.py`` | neurons that take all steps in one call, seen as one call per step |
| ``leaves.py`` | the table of neuron classes, and who is refused |
| ``fold.py`` | the recorded run interpreted: one expression per population and step |
| ``populations.py`` | these expressions, proven to be the same in every step |
| ``readout.py`` | what the module returns, as a readout |
| ``assemble.py`` | expressions to nodes and edges |
| ``problems.py`` | the diagnostics |
| ``confirm.py`` | the network run against the recording, and each neuron against its module |
| ``confirm_islands.py`` | functions for the host against the recording |
| ``probe.py`` | each neuron and its module asked the same questions, answered by spikes alone |
"""
