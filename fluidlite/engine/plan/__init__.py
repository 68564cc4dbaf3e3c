"""From the operators of a block to what is replayed: lowering, passes, placement, binding."""
