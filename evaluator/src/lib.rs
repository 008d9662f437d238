//! Judges what a bundle generates.
