//! `caution tokens`: what programs say to the platform to be known, one for each of them.

use crate::Context;
use crate::commands::apps::remote::when;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
use caution_api::{Token, TokenCreate, TokenMade};
use caution_appspec::printable;
use std::fmt::Write as _;

/// The word after `caution tokens`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List this account's tokens, without their secrets.
    List,
    /// Make a token, and print its secret, which is shown this once.
    Create(Create),
    /// Revoke a token: whoever has it is nobody from then on.
    Revoke(Revoke),
}

/// Arguments of `caution tokens create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What it is for.
    name: String,
    /// Days until it ends, 1 to 90; 30 when absent.
    #[arg(long)]
    days: Option<u32>,
    /// It may change nothing.
    #[arg(long)]
    read_only: bool,
    /// The name or id of the only app that it may touch.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
}

/// Arguments of `caution tokens revoke`.
#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// Its name or id.
    token: String,
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    match command {
        Command::List => list(context, &platform),
        Command::Create(args) => create(context, &platform, args),
        Command::Revoke(args) => revoke(context, &platform, args),
    }
}

fn list(context: &Context, platform: &Platform) -> Result<(), CliError> {
    let tokens: Vec<Token> = platform.all("/v1/me/tokens")?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "tokens": tokens }));
        return Ok(());
    }
    let mut text = String::new();
    for token in &tokens {
        let may = match (token.read_only, token.app) {
            (false, None) => "everything".to_owned(),
            (true, None) => "read".to_owned(),
            (false, Some(app)) => format!("app {app}"),
            (true, Some(app)) => format!("read app {app}"),
        };
        let name = printable(&token.name);
        let _ = writeln!(text, "{}  {name:<24} until {:<20}  {may}", token.id, end(token.expires_ms));
    }
    context.terminal.result(&text);
    Ok(())
}

/// That of this machine's user ends with the platform's process.
fn end(expires_ms: i64) -> String {
    if expires_ms == i64::MAX { "the platform ends".to_owned() } else { when(expires_ms) }
}

fn create(context: &Context, platform: &Platform, args: &Create) -> Result<(), CliError> {
    let app = match &args.app {
        Some(app) => Some(link::pick(platform, Some(app))?.id),
        None => None,
    };
    let asked = TokenCreate { name: args.name.clone(), days: args.days, read_only: args.read_only, app };
    let made: TokenMade = platform.send("/v1/me/tokens", &asked)?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "token": made.token, "secret": made.secret }));
        return Ok(());
    }
    context.terminal.note(&format!("  until {}; shown this once:", when(made.token.expires_ms)));
    context.terminal.result(&format!("{}\n", printable(&made.secret)));
    Ok(())
}

fn revoke(context: &Context, platform: &Platform, args: &Revoke) -> Result<(), CliError> {
    let mut tokens: Vec<Token> = platform.all("/v1/me/tokens")?;
    tokens.retain(|token| token.name == args.token || token.id.to_string() == args.token);
    let one = tokens.pop().filter(|_| tokens.is_empty()).ok_or_else(|| {
        let text = format!("You have no token `{}`, or several of that name.", args.token);
        CliError::new(Exit::NotFound, text).hint("caution tokens list      (then name its id)")
    })?;
    platform.remove(&format!("/v1/me/tokens/{}", one.id))?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "revoked": one.id, "name": one.name }));
    } else {
        context.terminal.result(&format!("{} is revoked\n", printable(&one.name)));
    }
    Ok(())
}
