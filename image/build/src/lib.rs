//! Source commit to enclave image: export, engine, root filesystem, EIF, eif-stage.
