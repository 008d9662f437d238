//! What every Pleach binary shares: printer, progress, interrupts, exit codes, recipes.
