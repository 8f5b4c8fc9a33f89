//! One real document, verified by us and by two others, in turn: microseconds and bytes, as JSON.
//!
//! Bytes are those that Rust allocates; what AWS-LC takes from C's heap is not among them.

use caution_attest::Intermediates;
use oracle_attest::{duration, nitro_attest, nsm_utils, ours, real_documents};
use std::time::Duration;

/// Each verifier is asked this often, in turn with the others; the best counts, for all.
const ROUNDS: usize = 300;

fn main() {
    let Some(cases) = real_documents() else { std::process::exit(1) };
    let case = cases.iter().find(|case| case.name.ends_with(DOCUMENT)).expect("the document is there");
    // Any document of the same chain leaves its intermediates; this one is at hand.
    let mut known = Intermediates::new(64);
    ours(case, &mut known).expect("a real document verifies");

    let asked: [(&str, &dyn Fn()); 4] = [
        ("cold", &|| drop(ours(case, &mut Intermediates::new(0)).expect("it verifies"))),
        ("cached", &|| drop(ours(case, &mut known.clone()).expect("it verifies"))),
        ("nitro_attest", &|| drop(nitro_attest(case).expect("it verifies"))),
        ("nsm-nitro-enclave-utils", &|| drop(nsm_utils(case).expect("it verifies"))),
    ];
    let mut best = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        for ((_, ask), best) in asked.iter().zip(&mut best) {
            *best = duration(ask).min(*best);
        }
    }
    let rows = asked.iter().zip(best).map(|((name, ask), best)| {
        let bytes = allocation_counter::measure(ask).bytes_total;
        (name.to_string(), serde_json::json!({ "us": best.as_nanos() as f64 / 1000.0, "bytes": bytes }))
    });
    println!("{}", serde_json::Value::Object(rows.collect()));
}

/// Of 2025, with the map of indefinite length that modules write today.
const DOCUMENT: &str = "20250809T204558Z-2792d481.cose";
