//! `caution login`: this user known to a platform on another machine, let in by somebody's browser.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, login};
use caution_api::{DeviceAnswer, DeviceAsk, DeviceBegin, DeviceBegun, TokenMade};
use caution_appspec::printable;
use std::time::{Duration, Instant};

/// Arguments of `caution login`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The platform's address, as https://platform.example.com.
    url: String,
    /// Ask for reading alone.
    #[arg(long)]
    read_only: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::unknown_to(&login::address(&args.url)?);
    let asked = DeviceBegin { name: "caution login".to_owned(), read_only: args.read_only };
    let begun: DeviceBegun = platform.send("/v1/device", &asked)?;
    if context.terminal.json {
        let shown = serde_json::json!({ "url": begun.url, "user_code": begun.user_code });
        context.terminal.json_line(&shown);
    } else {
        context.terminal.note(&format!("Open {}\nand let it in where it shows the same code:", begun.url));
        context.terminal.result(&format!("\n    {}\n\n", printable(&begun.user_code)));
    }
    let made = awaited(&platform, &begun)?;
    let platform = login::keep(context, platform.api(), &made)?;
    let me = platform.whoami()?;
    if context.terminal.json {
        context.terminal.json_line(&serde_json::json!({ "api": platform.api(), "account": me.account }));
    } else {
        let (api, name) = (printable(platform.api()), printable(&me.account.name));
        context.terminal.result(&format!("{api} knows you as {name}\n"));
        context.terminal.note("\nnext: caution init      (in the checkout of an application)");
    }
    Ok(())
}

/// Asks until somebody has decided.
fn awaited(platform: &Platform, begun: &DeviceBegun) -> Result<TokenMade, CliError> {
    let since = Instant::now();
    let ask = DeviceAsk { device_code: begun.device_code.clone() };
    while since.elapsed() < LONGEST {
        pause(Duration::from_secs(begun.interval_s.clamp(1, 60).into()));
        let answer: DeviceAnswer = platform.send("/v1/device/token", &ask)?;
        if let Some(made) = answer.made {
            return Ok(made);
        }
    }
    Err(CliError::new(Exit::NotAllowed, "Nobody let this program in.").hint("caution login URL"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the platform says how long to wait between two questions (RFC 8628 §3.5)"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Longer than a platform waits.
const LONGEST: Duration = Duration::from_mins(15);
