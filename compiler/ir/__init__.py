"""The intermediate representation: networks, neurons as step programs, chip networks, programs."""
