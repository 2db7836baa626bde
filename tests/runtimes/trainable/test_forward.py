"""The trainable network computes what the oracle computes, in every value, whatever is trained."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ranvier.runtimes import oracle
from ranvier.runtimes.trainable import KINDS, TrainableNetwork
from support.networks import chip_networks, inputs_for


@given(st.data())
def test_forward_equals_the_oracle(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip))
    trained = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, unique=True))
    expected = oracle.run(chip, inputs, ("spikes", "membrane"))
    sent, membrane = TrainableNetwork(chip, trained).traces(torch.from_numpy(inputs))
    for p in chip.populations:
        shape = expected.spikes[p.name].shape
        np.testing.assert_array_equal(sent[p.name].detach().reshape(shape), expected.spikes[p.name])
        np.testing.assert_array_equal(membrane[p.name].detach().reshape(shape), expected.membrane[p.name])


@given(st.data())
def test_what_was_not_trained_yet_deploys_unchanged(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    deployed = TrainableNetwork(chip, KINDS).deployed()
    inputs = data.draw(inputs_for(chip))
    before, after = (oracle.run(c, inputs, ("spikes", "membrane", "states")) for c in (chip, deployed))
    for p in chip.populations:
        np.testing.assert_array_equal(before.membrane[p.name], after.membrane[p.name])
