"""Each indicator once: state layout, step, warm-up, null rule, parameter ranges. Pure."""
