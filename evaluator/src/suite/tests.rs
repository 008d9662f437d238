//! Tests of every form.
