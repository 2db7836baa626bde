"""The speed benchmark: every peer on the same networks and inputs, checked before it is timed (``make bench``)."""
