"""What a process does with memory while it has to answer within milliseconds."""

import gc


def settle_memory() -> None:
    """Let the garbage collector leave alone what is there now, because it lives on.

    A full collection looks at every object: with programs, compiled code and instances of 1,800
    instruments that takes some fifty milliseconds, and it comes whenever enough objects were made,
    so now and then a decision waits for it. Call this when a start is over; once more when what
    lives on was replaced.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
