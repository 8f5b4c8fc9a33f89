//! The document that is checked in is the one that the trait gives.
#![cfg(feature = "server")]

use std::collections::BTreeSet;

const CHECKED_IN: &str = include_str!("../openapi.json");

#[test]
fn the_document_is_the_one_that_is_checked_in() {
    let made = caution_api::openapi().unwrap();

    assert!(
        made == CHECKED_IN,
        "`cautiond openapi > control/api/openapi.json`, and look at what changes for clients"
    );
}

/// A code that the document does not know cannot be told by a client.
#[test]
fn every_refusal_has_a_shape() {
    let document: serde_json::Value = serde_json::from_str(CHECKED_IN).unwrap();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id.to_owned()), "{id} stands there twice");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing about itself");
        }
    }
    assert!(operations.len() > 20, "{operations:?}");
    assert_eq!(
        document["components"]["schemas"]["Problem"]["required"],
        serde_json::json!(["code", "message"])
    );
}
