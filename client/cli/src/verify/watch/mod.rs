//! `caution verify --watch`: the same verification again and again, for people who keep an eye on a deployment.

mod webhook;

use super::{Outcome, Request, verify};
use crate::Context;
use crate::error::{CliError, Exit};
use crate::terminal::Terminal;
use caution_measure::Measurements;
use serde_json::{Value, json};
use std::time::Duration;
pub(crate) use webhook::Webhook;

/// How to watch.
pub(crate) struct Watch {
    /// From the end of one verification to the beginning of the next.
    pub(crate) every: Duration,
    /// Whether the first change ends it.
    pub(crate) exit_on_change: bool,
    /// Who is told of changes.
    pub(crate) webhook: Option<Webhook>,
}

/// Verifies until somebody stops it, until the outcome changes, or until nobody is told any more. The first verdict and every change are kept.
pub(crate) fn watch(context: &Context, mut request: Request, watch: &Watch) -> Result<u8, CliError> {
    let mut before: Option<State> = None;
    let mut untold: Option<String> = None;
    loop {
        request.now = jiff::Timestamp::now();
        let mut outcome = verify(context, &request);
        if let Err(error) = &outcome
            && error.exit == Exit::Usage
        {
            return outcome.map(|_| 0);
        }
        let state = State::of(&outcome);
        let changed = before.as_ref().is_some_and(|before| *before != state);
        if let Ok(outcome) = &mut outcome
            && (changed || before.is_none())
        {
            outcome.keep(context);
        }
        let event = event(request.now, changed, &outcome);
        let is_read = show(context.terminal, &request, changed, &outcome, &event);
        // A bad beginning is news too.
        if changed || (before.is_none() && state.exit_code != 0) {
            untold = Some(event.to_string());
        }
        if let (Some(webhook), Some(event)) = (&watch.webhook, &untold) {
            match webhook.tell(event, request.now) {
                Ok(()) => untold = None,
                Err(error) => {
                    let causes = error.causes.join("; ");
                    let text = format!("{} ({causes}) The next verification tells it again.", error.message);
                    context.terminal.warning(&text, None);
                }
            }
        }
        let is_heard = is_read || watch.webhook.is_some() || watch.exit_on_change;
        if (changed && watch.exit_on_change) || !is_heard {
            return Ok(state.exit_code);
        }
        before = Some(state);
        pause(watch.every);
    }
}

#[expect(clippy::disallowed_methods, reason = "the time between two verifications is what was asked for")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What counts as a change: the verdict's class, the image that is attested, the commit that it is.
#[derive(Debug, PartialEq, Eq)]
struct State {
    exit_code: u8,
    attested: Option<Measurements>,
    commit: Option<String>,
}

impl State {
    fn of(outcome: &Result<Outcome, CliError>) -> Self {
        match outcome {
            Ok(Outcome { verdict, .. }) => Self {
                exit_code: verdict.exit_code,
                attested: verdict.attested,
                commit: verdict.commit.clone(),
            },
            Err(error) => Self { exit_code: error.exit.code(), attested: None, commit: None },
        }
    }
}

/// One line of `--json`, and what a webhook gets.
fn event(now: jiff::Timestamp, changed: bool, outcome: &Result<Outcome, CliError>) -> Value {
    let mut event =
        json!({ "schema": "caution.watch/1", "checked_at": format!("{now:.0}"), "changed": changed });
    match outcome {
        Ok(outcome) => event["verdict"] = json!(outcome.verdict),
        Err(error) => event["error"] = error.to_json()["error"].take(),
    }
    event
}

/// The first verdict and every change as a whole; in between one line each. `false` when nobody reads it.
fn show(
    terminal: Terminal,
    request: &Request,
    changed: bool,
    outcome: &Result<Outcome, CliError>,
    event: &Value,
) -> bool {
    if terminal.json {
        return terminal.json_line(event);
    }
    let when = format!("{:.0}", request.now);
    match outcome {
        Ok(outcome) if changed => {
            terminal.one_of_many(&format!("{when}  CHANGED\n\n{}\n", outcome.verdict.to_text(terminal)))
        }
        Ok(outcome) => terminal.one_of_many(&format!("{when}  {}\n", outcome.verdict.first_line(terminal))),
        Err(error) => {
            let word = if changed { "CHANGED  " } else { "" };
            terminal.one_of_many(&format!("{when}  {word}NOT VERIFIED  {}\n", error.summary()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_to_ask_is_an_event_of_its_own() {
        let outcome = Err(CliError::new(Exit::Unreachable, "No evidence could be fetched."));
        let event = event(jiff::Timestamp::UNIX_EPOCH, true, &outcome);
        assert_eq!(event["error"]["kind"], "unreachable");
        assert_eq!((&event["checked_at"], &event["changed"]), (&json!("1970-01-01T00:00:00Z"), &json!(true)));
        assert_eq!(State::of(&outcome), State { exit_code: 15, attested: None, commit: None });
    }
}
