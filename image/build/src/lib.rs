//! Source commit to enclave image: export, engine, root filesystem, EIF, eif-stage.

pub mod git;
mod process;
#[cfg(test)]
mod testing;
