//! `caution ssh-keys`: the keys that this account's git is known by.

use crate::Context;
use crate::commands::apps::remote::when;
use crate::error::CliError;
use crate::files;
use crate::platform::Platform;
use caution_api::{SshKey, SshKeyAdd};
use caution_appspec::printable;
use std::fmt::Write as _;
use std::path::PathBuf;

/// The word after `caution ssh-keys`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the keys.
    List,
    /// Add a key. One that is there already stays as it is.
    Add(Add),
    /// Remove a key: git is not known by it any more.
    Remove(Remove),
}

/// Arguments of `caution ssh-keys add`.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The public key's file, as ~/.ssh/id_ed25519.pub.
    #[arg(required_unless_present = "key", conflicts_with = "key")]
    file: Option<PathBuf>,
    /// The public key itself, a line as in such a file.
    #[arg(long, value_name = "LINE")]
    key: Option<String>,
    /// What to call it; the line's comment when absent.
    #[arg(long)]
    name: Option<String>,
}

/// Arguments of `caution ssh-keys remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Its fingerprint, SHA256:…, as `list` shows it.
    fingerprint: String,
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    match command {
        Command::List => list(context, &platform),
        Command::Add(args) => add(context, &platform, args),
        Command::Remove(args) => remove(context, &platform, args),
    }
}

fn list(context: &Context, platform: &Platform) -> Result<(), CliError> {
    let keys: Vec<SshKey> = platform.all("/v1/me/ssh-keys")?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "keys": keys }));
        return Ok(());
    }
    let mut text = String::new();
    for key in &keys {
        let used = key.used_ms.map_or_else(|| "never used".to_owned(), |ms| format!("used {}", when(ms)));
        let _ = writeln!(text, "{}  {:<24} {used}", key.fingerprint, printable(&key.name));
    }
    context.terminal.result(&text);
    Ok(())
}

fn add(context: &Context, platform: &Platform, args: &Add) -> Result<(), CliError> {
    let line = match (&args.key, &args.file) {
        (Some(line), _) => line.clone(),
        (None, Some(file)) => String::from_utf8_lossy(&files::read_limited(file, MAX_KEY)?).into_owned(),
        (None, None) => String::new(),
    };
    let asked = SshKeyAdd { public_key: line.trim().to_owned(), name: args.name.clone() };
    let key: SshKey = platform.send("/v1/me/ssh-keys", &asked)?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "key": key }));
    } else {
        context.terminal.result(&format!("{} is known as {}\n", key.fingerprint, printable(&key.name)));
    }
    Ok(())
}

fn remove(context: &Context, platform: &Platform, args: &Remove) -> Result<(), CliError> {
    platform.remove(&format!("/v1/me/ssh-keys/{}", percent_encoded(&args.fingerprint)))?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "removed": args.fingerprint }));
    } else {
        context.terminal.result(&format!("{} is removed\n", printable(&args.fingerprint)));
    }
    Ok(())
}

/// Text as one segment of a path (RFC 3986 §2.1).
fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The longest file of a public key, in bytes.
const MAX_KEY: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    #[test]
    fn a_fingerprint_is_one_segment_of_a_path() {
        assert_eq!(super::percent_encoded("SHA256:a/b+c"), "SHA256%3Aa%2Fb%2Bc");
    }
}
