//! Learns, prunes and suppresses with libtorch.
