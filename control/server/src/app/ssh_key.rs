//! Keys that git is known by.

use super::access::{Caller, whole_account};
use super::{Refused, audited_own, label, not_found, page, paged};
use crate::store::ssh_key;
use caution_api::{ErrorCode, Page, PageQuery, Problem, SshKey, SshKeyAdd};
use russh::keys::ssh_key::{Algorithm, HashAlg, PublicKey};
use sqlx::AnyConnection;

/// The caller's keys, by fingerprint.
pub async fn list(
    db: &mut AnyConnection,
    caller: &Caller,
    query: &PageQuery,
) -> Result<Page<SshKey>, Refused> {
    let (limit, after) = page::<String>(query)?;
    let found = ssh_key::list(db, caller.account, &after.unwrap_or_default(), limit + 1).await?;
    Ok(paged(found, limit, |key| key.fingerprint.clone(), wire))
}

/// Adds a key for the caller; one that is there already stays as it is.
pub async fn add(db: &mut AnyConnection, caller: &Caller, asked: &SshKeyAdd) -> Result<SshKey, Refused> {
    whole_account(caller)?;
    let key = parse(&asked.public_key)?;
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    let comment = key.comment().as_str_lossy();
    let name = match asked.name.as_deref() {
        Some(name) => label("key", name)?,
        None => label("key", comment).unwrap_or_else(|_| "key".to_owned()),
    };
    match ssh_key::find(&mut *db, &fingerprint).await? {
        Some(known) if known.account == caller.account => return Ok(wire(known)),
        Some(_) => {
            let problem = Problem::new(ErrorCode::Conflict, "This key belongs to another account.");
            return Err(problem.fix("make a key of your own: ssh-keygen -t ed25519").into());
        }
        None => {}
    }
    if ssh_key::count(&mut *db, caller.account).await? >= MOST {
        let text = format!("An account has {MOST} keys at most.");
        return Err(Problem::new(ErrorCode::LimitReached, text).fix("remove one that nobody uses").into());
    }
    let bare = PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(|_| unusable())?;
    let added = ssh_key::add(&mut *db, caller.account, &fingerprint, &name, bare.trim_end()).await?;
    audited_own(db, caller, "ssh_key_add", &fingerprint, &name).await?;
    Ok(wire(added))
}

/// Removes one of the caller's keys.
pub async fn remove(db: &mut AnyConnection, caller: &Caller, fingerprint: &str) -> Result<(), Refused> {
    whole_account(caller)?;
    if !ssh_key::remove(&mut *db, caller.account, fingerprint).await? {
        return Err(not_found("key").into());
    }
    Ok(audited_own(db, caller, "ssh_key_remove", fingerprint, "").await?)
}

fn parse(line: &str) -> Result<PublicKey, Problem> {
    if line.len() > MAX_BYTES || line.trim().contains(char::is_control) {
        return Err(unusable());
    }
    let key = PublicKey::from_openssh(line.trim()).map_err(|_| unusable())?;
    taken(&key).map(|()| key)
}

/// Whether anybody may be known by a key of this kind and length.
pub(crate) fn taken(key: &PublicKey) -> Result<(), Problem> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(()),
        Algorithm::Rsa { .. } => {
            let bits =
                key.key_data().rsa().and_then(|rsa| rsa.n().as_positive_bytes()).map_or(0, |n| n.len() * 8);
            if bits >= RSA_BITS {
                return Ok(());
            }
            let text = format!("The RSA key has {bits} bits; {RSA_BITS} is the least.");
            Err(Problem::new(ErrorCode::InvalidRequest, text).fix("ssh-keygen -t ed25519"))
        }
        other => {
            let text =
                format!("Keys of the kind {} are not taken: Ed25519, ECDSA and RSA are.", other.as_str());
            Err(Problem::new(ErrorCode::InvalidRequest, text).fix("ssh-keygen -t ed25519"))
        }
    }
}

fn unusable() -> Problem {
    let text = "`public_key` is not a public key as OpenSSH writes it: `ssh-ed25519 AAAA… name`.";
    Problem::new(ErrorCode::InvalidRequest, text).fix("send the line of the file that ends in .pub")
}

fn wire(key: ssh_key::SshKey) -> SshKey {
    SshKey {
        fingerprint: key.fingerprint,
        name: key.name,
        public_key: key.public_key,
        created_ms: key.created_ms,
        used_ms: key.used_ms,
    }
}

/// Keys of an account.
const MOST: i64 = 50;
/// The longest line that is looked at: an RSA key of 16,384 bits has 2,800 characters.
const MAX_BYTES: usize = 8 * 1024;
/// The shortest RSA key.
const RSA_BITS: usize = 3072;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_than_keys_are_refused() {
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnY4Rb6s+8wK/u2M3C9WRR84MitdFbbAJqNN7wXG38l a b";
        assert_eq!(parse(good).unwrap().comment().as_str_lossy(), "a b");
        for wrong in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &format!("{good}\n{good}"), &"a".repeat(9000)] {
            assert_eq!(parse(wrong).unwrap_err().code, ErrorCode::InvalidRequest, "{wrong}");
        }
    }
}
