//! `caution members`: who belongs to an organisation, and as what.

use crate::Context;
use crate::commands::apps::remote::when;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, organisation};
use caution_api::{Invitation, InvitationAccept, Member, MemberChange, Membership, Role};
use caution_appspec::printable;
use std::fmt::Write as _;

/// Which organisation.
#[derive(Debug, clap::Args)]
pub(crate) struct Of {
    /// The organisation's name or id; yours when you belong to one.
    #[arg(long, value_name = "NAME", global = true)]
    organisation: Option<String>,
}

/// Arguments of `caution members`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    of: Of,
    #[command(subcommand)]
    command: Command,
}

/// The word after `caution members`.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the members, and the invitations that wait.
    List,
    /// Give a member another role.
    Role {
        /// The member's name or account id.
        member: String,
        /// As what they belong from now on.
        role: RoleName,
    },
    /// End a membership: keys, tokens and sessions reach nothing of the organisation any more.
    Remove {
        /// The member's name or account id.
        member: String,
    },
    /// End an invitation that waits.
    Uninvite {
        /// Its id.
        invitation: String,
    },
    /// Use an invitation that somebody gave to you.
    Join {
        /// The link.
        link: String,
    },
}

/// A role, as it is typed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RoleName {
    Viewer,
    Member,
    Admin,
    Owner,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Member => Self::Member,
            RoleName::Admin => Self::Admin,
            RoleName::Owner => Self::Owner,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    if let Command::Join { link } = &args.command {
        return join(context, &platform, link);
    }
    let of = organisation::pick(&platform, args.of.organisation.as_deref())?;
    let path = format!("/v1/organisations/{}", of.organisation);
    match &args.command {
        Command::List => list(context, &platform, &path),
        Command::Role { member, role } => {
            let member = find(&platform, &path, member)?;
            let change = MemberChange { role: (*role).into() };
            let path = format!("{path}/members/{}", member.account.id);
            let now: Member = platform.patch(&path, &change)?;
            let text = format!("{} is {} now", printable(&now.account.name), word(now.role));
            tell(context, &text, &serde_json::json!({ "member": now }));
            Ok(())
        }
        Command::Remove { member } => {
            let member = find(&platform, &path, member)?;
            platform.remove(&format!("{path}/members/{}", member.account.id))?;
            let text = format!("{} does not belong to it any more", printable(&member.account.name));
            tell(context, &text, &serde_json::json!({ "removed": member.account.id }));
            Ok(())
        }
        Command::Uninvite { invitation } => {
            platform.remove(&format!("{path}/invitations/{}", plain_id(invitation)?))?;
            tell(context, "the invitation is void", &serde_json::json!({ "revoked": invitation }));
            Ok(())
        }
        Command::Join { .. } => Ok(()),
    }
}

fn list(context: &Context, platform: &Platform, path: &str) -> Result<(), CliError> {
    let members: Vec<Member> = platform.all(&format!("{path}/members"))?;
    // Who may not see them sees the members all the same.
    let invitations: Vec<Invitation> = match platform.all(&format!("{path}/invitations")) {
        Err(error) if error.exit == Exit::NotAllowed => Vec::new(),
        got => got?,
    };
    if context.terminal.json {
        let shown = serde_json::json!({ "members": members, "invitations": invitations });
        context.terminal.json_result(&shown);
        return Ok(());
    }
    let mut text = String::new();
    for member in &members {
        let name = printable(&member.account.name);
        let _ = writeln!(text, "{name:<24} {:<7} since {}", word(member.role), when(member.created_ms));
    }
    for invitation in &invitations {
        let role = word(invitation.role);
        let _ =
            writeln!(text, "(invited as {role} until {}: {})", when(invitation.expires_ms), invitation.id);
    }
    context.terminal.result(&text);
    Ok(())
}

fn join(context: &Context, platform: &Platform, link: &str) -> Result<(), CliError> {
    // The secret stands behind `#`, where no log has it.
    let secret = link.rsplit_once('#').map_or(link, |(_, secret)| secret);
    let asked = InvitationAccept { link: secret.to_owned() };
    let joined: Membership = platform.send("/v1/me/memberships", &asked)?;
    let text = format!("you are {} of {}", word(joined.role), printable(&joined.name));
    tell(context, &text, &serde_json::json!({ "membership": joined }));
    Ok(())
}

fn find(platform: &Platform, path: &str, wanted: &str) -> Result<Member, CliError> {
    let mut members: Vec<Member> = platform.all(&format!("{path}/members"))?;
    members.retain(|member| member.account.name == wanted || member.account.id.to_string() == wanted);
    members.pop().filter(|_| members.is_empty()).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("There is no member `{wanted}`, or several of that name."))
            .hint("caution members list --json      (then name the account's id)")
    })
}

/// It becomes a part of an address.
fn plain_id(text: &str) -> Result<&str, CliError> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    plain
        .then_some(text)
        .ok_or_else(|| CliError::new(Exit::Usage, format!("`{text}` is no id.")).hint("caution members list"))
}

fn tell(context: &Context, text: &str, json: &serde_json::Value) {
    if context.terminal.json {
        context.terminal.json_result(json);
    } else {
        context.terminal.result(&format!("{text}\n"));
    }
}

pub(crate) const fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}
