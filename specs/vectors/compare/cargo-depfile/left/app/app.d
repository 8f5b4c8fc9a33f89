/tmp/compare-corpus/one/target/debug/libapp.rlib: /tmp/compare-corpus/one/src/lib.rs
