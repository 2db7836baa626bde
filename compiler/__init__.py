"""From a float network to the program of a chip: intermediate representation, passes and analyses."""
