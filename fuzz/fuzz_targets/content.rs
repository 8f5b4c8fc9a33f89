#![no_main]
//! Two contents of one path, compared both ways.
use caution_compare::{Cause, Explanation, compare_contents, packages};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((path, left, right)) = caution_fuzz::pair(data) else { return };
    let causes =
        |told: &Explanation| told.attributions.iter().map(|found| found.cause).collect::<Vec<Cause>>();
    let (there, back) = (compare_contents(path, left, right), compare_contents(path, right, left));
    assert_eq!(causes(&there), causes(&back));
    assert_eq!(there.changes.is_empty(), left == right);
    let _ = packages(path, left);
});
