/tmp/compare-corpus/elsewhere/two/target/debug/libapp.rlib: /tmp/compare-corpus/elsewhere/two/src/lib.rs
