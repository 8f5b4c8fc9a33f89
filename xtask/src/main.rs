//! Repository chores: check-layers, vectors, bench.

fn main() {}
