//! Tests of the examples: each file beside this one is a test program.
