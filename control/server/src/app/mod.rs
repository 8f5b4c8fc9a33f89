//! What people ask for, by the rules: one file for each noun. Answers are the wire's types.

pub mod access;
pub mod account;
#[expect(clippy::module_inception, reason = "one noun has one file name in each layer")]
pub mod app;
pub mod device;
pub mod event;
pub mod invitation;
pub mod job;
pub mod member;
pub mod passkey;
pub mod reach;
pub mod release;
pub mod session;
pub mod ssh_key;
pub mod token;

use crate::store::StoreError;
use crate::store::audit::{self, NewLine};
use access::Caller;
use caution_api::{ErrorCode, PageQuery, Problem};
use sqlx::AnyConnection;
use std::str::FromStr;

/// Why something was not done.
#[derive(Debug)]
pub enum Refused {
    /// What to tell who asked.
    Told(Problem),
    /// The server's own failure: for its log.
    Failed(StoreError),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Told(problem)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The same words, whether something never was or belongs to others.
pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(ErrorCode::NotFound, format!("There is no such {what}."))
}

/// A page that is asked for: how many, and from where on.
pub(crate) fn page<T: FromStr>(query: &PageQuery) -> Result<(u32, Option<T>), Problem> {
    let limit = query.limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        let text = format!("`limit` must be 1 to 100; it is {limit}.");
        return Err(Problem::new(ErrorCode::InvalidRequest, text));
    }
    let wrong = || Problem::new(ErrorCode::InvalidRequest, "`page_token` is not one of this list's.");
    let from = query.page_token.as_deref().map(str::parse).transpose().map_err(|_| wrong())?;
    Ok((limit, from))
}

/// A page of what was found, of which there is one more than asked for where the list goes on.
pub(crate) fn paged<T, U>(
    mut found: Vec<T>,
    limit: u32,
    token: impl Fn(&T) -> String,
    wire: impl FnMut(T) -> U,
) -> caution_api::Page<U> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let next_page = found.last().filter(|_| more).map(token);
    caution_api::Page { items: found.into_iter().map(wire).collect(), next_page }
}

/// Writes down who did something, in the change that does it.
pub(crate) async fn audited(
    db: &mut AnyConnection,
    caller: &Caller,
    line: NewLine<'_>,
) -> Result<(), StoreError> {
    let by = NewLine { account: Some(caller.account), by_means_of: caller.means, ..line };
    audit::add(db, &by).await
}

/// The same of what belongs to no organisation, but to whoever does it.
pub(crate) async fn audited_own(
    db: &mut AnyConnection,
    caller: &Caller,
    action: &str,
    target: &str,
    detail: &str,
) -> Result<(), StoreError> {
    audited(
        db,
        caller,
        NewLine { organisation: None, account: None, by_means_of: "", action, target, detail },
    )
    .await
}

/// The name of a new account or organisation: any label but that of this machine's user, who would be taken for them.
pub(crate) fn new_name(what: &str, text: &str) -> Result<String, Problem> {
    let name = label(what, text)?;
    if name.eq_ignore_ascii_case(THIS_MACHINE) {
        let text = format!("`{name}` is what this machine's user is called, and no other {what}.");
        return Err(Problem::new(ErrorCode::NameTaken, text).fix("choose another name"));
    }
    Ok(name)
}

/// Names that people give keys and tokens: one line that can be shown.
pub(crate) fn label(what: &str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    let message = format!("The name of a {what} has 1 to 100 characters, on one line.");
    Err(Problem::new(ErrorCode::InvalidRequest, message))
}

/// Of this machine's account, and of its organisation. Who signs in there is found by it.
pub(crate) const THIS_MACHINE: &str = "local";
