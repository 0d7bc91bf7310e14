"""The parts of the packed trainer: inputs, batch order, optimizer, engines, loop over epochs."""
