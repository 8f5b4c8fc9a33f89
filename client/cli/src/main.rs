//! The caution command.

fn main() {}
