//! What authenticators say of themselves (§6.1).

use super::WebauthnError;
use minicbor::Decoder;

/// rpIdHash(32) ‖ flags(1) ‖ signCount(4) ‖ \[aaguid(16) ‖ length(2) ‖ id ‖ key (CBOR)\] ‖ \[extensions (CBOR)\]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuthenticatorData<'a> {
    /// SHA-256 of the relying party's id.
    pub(super) relying_party: &'a [u8],
    /// Somebody was there.
    pub(super) present: bool,
    /// It was the owner.
    pub(super) verified: bool,
    /// How often the credential was used.
    pub(super) count: u32,
    /// Id and key of a credential that was just made.
    pub(super) credential: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        if bytes.len() > MAX_BYTES {
            return Err(MALFORMED);
        }
        let (relying_party, rest) = bytes.split_at_checked(32).ok_or(MALFORMED)?;
        let (&[flags], rest) = rest.split_first_chunk().ok_or(MALFORMED)?;
        let (count, mut rest) = rest.split_first_chunk().ok_or(MALFORMED)?;
        let has = |flag: u8| flags & flag != 0;
        // §6.1.3: only what may be backed up is backed up.
        if has(BACKED_UP) && !has(MAY_BE_BACKED_UP) {
            return Err(MALFORMED);
        }
        let mut credential = None;
        if has(ATTESTED) {
            let (_model, after) = rest.split_at_checked(16).ok_or(MALFORMED)?;
            let (length, after) = after.split_first_chunk().ok_or(MALFORMED)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if !(1..=MAX_ID).contains(&length) {
                return Err(MALFORMED);
            }
            let (id, after) = after.split_at_checked(length).ok_or(MALFORMED)?;
            let (key, after) = item(after)?;
            credential = Some((id, key));
            rest = after;
        }
        if has(EXTENSIONS) {
            rest = item(rest)?.1;
        }
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self {
            relying_party,
            present: has(PRESENT),
            verified: has(VERIFIED),
            count: u32::from_be_bytes(*count),
            credential,
        })
    }
}

/// The first item of CBOR, and what follows it.
fn item(bytes: &[u8]) -> Result<(&[u8], &[u8]), WebauthnError> {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().map_err(|_| MALFORMED)?;
    bytes.split_at_checked(decoder.position()).ok_or(MALFORMED)
}

const MALFORMED: WebauthnError = WebauthnError::Malformed("authenticator's data");
const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const MAY_BE_BACKED_UP: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENSIONS: u8 = 1 << 7;
/// The longest id of a credential (§4).
const MAX_ID: usize = 1023;
/// The longest of all, in bytes: an RSA key of 8192 bits, an id and extensions.
const MAX_BYTES: usize = 8 * 1024;
