//! The HTTP API, asked over a real connection.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod access;
mod app;
mod browser;
#[path = "../support/database.rs"]
mod database;
mod known;
mod outage;
mod passkey;
mod people;
mod scene;
mod streams;

#[test]
fn everything_holds_with_postgresql_too() {
    database::everything_again("everything_holds_with_postgresql_too");
}
