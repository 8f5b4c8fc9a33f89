//! Programs that somebody lets in from a browser: `caution login`.

use super::access::Caller;
use super::reach::Reach;
use super::token::{self, Secret};
use super::{Refused, audited_own, label, not_found};
use crate::clock::now_ms;
use crate::store::audit::{self, NewLine};
use crate::store::{StoreError, device};
use crate::webauthn::RelyingParty;
use caution_api::{Device, DeviceAnswer, DeviceBegin, DeviceBegun, ErrorCode, Problem};
use sqlx::AnyConnection;

/// A program wants a token.
pub async fn begin(
    db: &mut AnyConnection,
    site: &RelyingParty,
    asked: &DeviceBegin,
) -> Result<DeviceBegun, Refused> {
    let name = label("program", &asked.name)?;
    let (secret, user_code) = (Secret::plain()?, user_code()?);
    let busy =
        || Problem::new(ErrorCode::Unavailable, "Too many programs wait to be let in. Ask again later.");
    match device::create(db, secret.hash, &user_code, &name, asked.read_only).await {
        Ok(true) => {}
        Ok(false) | Err(StoreError::Taken) => return Err(busy().into()),
        Err(error) => return Err(error.into()),
    }
    Ok(DeviceBegun {
        device_code: secret.shown,
        url: format!("{}/device#{user_code}", site.origin),
        user_code,
        expires_ms: now_ms() + device::WAITS_MS,
        interval_s: INTERVAL_S,
    })
}

/// What became of it. Its token is made at this moment, told, and not told again.
pub async fn token(
    db: &mut AnyConnection,
    device_code: &str,
    reach: &Reach,
) -> Result<DeviceAnswer, Refused> {
    let code = Secret::said(device_code).ok_or_else(ended)?;
    let Some(found) = device::take(&mut *db, code).await? else {
        device::by_code(db, code).await?.ok_or_else(ended)?;
        return Ok(DeviceAnswer { made: None, git: None });
    };
    let account = found.account.ok_or(StoreError::Column("account_id"))?;
    token::has_room(&mut *db, account).await?;
    let made = token::of_device(&mut *db, account, &found.name, found.read_only).await?;
    let line = NewLine {
        organisation: None,
        account: Some(account),
        by_means_of: "device",
        action: "token_create",
        target: &made.token.id.to_string(),
        detail: &found.name,
    };
    audit::add(db, &line).await?;
    Ok(DeviceAnswer { made: Some(made), git: Some(reach.git().clone()) })
}

/// The program that shows this code.
pub async fn get(db: &mut AnyConnection, user_code: &str) -> Result<Device, Refused> {
    let found = device::waiting(db, user_code).await?.ok_or_else(|| not_found("program"))?;
    Ok(wire(found))
}

/// Lets it in, as whoever asks.
pub async fn approve(db: &mut AnyConnection, caller: &Caller, user_code: &str) -> Result<Device, Refused> {
    token::has_room(&mut *db, caller.account).await?;
    let found = device::approve(&mut *db, user_code, caller.account).await?;
    let found = found.ok_or_else(|| not_found("program"))?;
    audited_own(db, caller, "device_approve", &found.user_code, &found.name).await?;
    Ok(wire(found))
}

/// Sends it away.
pub async fn refuse(db: &mut AnyConnection, caller: &Caller, user_code: &str) -> Result<(), Refused> {
    if !device::refuse(&mut *db, user_code).await? {
        return Err(not_found("program").into());
    }
    Ok(audited_own(db, caller, "device_refuse", user_code, "").await?)
}

fn ended() -> Problem {
    let text = "This login has ended: it was refused, or used, or nobody let it in within 10 minutes.";
    Problem::new(ErrorCode::NotFound, text).fix("caution login")
}

/// `BCDF-GHJK`: no vowels, so that it is no word, and nothing that looks like something else.
fn user_code() -> Result<String, StoreError> {
    let mut code = String::new();
    while code.len() < 9 {
        let mut byte = [0];
        getrandom::fill(&mut byte).map_err(StoreError::Random)?;
        // 240 is the last multiple of 20 in a byte: what is above would make some letters more likely.
        if let Some(letter) = LETTERS.get(usize::from(byte[0] % 20)).filter(|_| byte[0] < 240) {
            code.push(char::from(*letter));
            if code.len() == 4 {
                code.push('-');
            }
        }
    }
    Ok(code)
}

fn wire(device: device::Device) -> Device {
    Device {
        user_code: device.user_code,
        name: device.name,
        read_only: device.read_only,
        created_ms: device.created_ms,
        expires_ms: device.expires_ms,
    }
}

const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// How long a program waits between two questions, in seconds.
const INTERVAL_S: u32 = 5;
