//! Transcript, keys, what evidence says, and records.

use super::{Error, MAGIC, PROTOCOL, suite_name};
use crate::hpke::{TAG, aead_key};
use crate::kdf::{Secret, expand, extract, sha256};
use crate::session::SessionId;
use crate::suite::Suite;
use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What both sides said before they had keys.
pub(super) struct Transcript<'a> {
    pub(super) suite: Suite,
    pub(super) client_nonce: &'a [u8; 32],
    pub(super) client_key: &'a [u8],
    pub(super) server_key: &'a [u8],
    pub(super) session: SessionId,
    pub(super) context_hash: &'a [u8; 32],
}

impl Transcript<'_> {
    fn hash(&self) -> [u8; 32] {
        let suite = suite_name(self.suite).as_bytes();
        sha256(&[
            MAGIC,
            suite,
            b"\0",
            self.client_nonce,
            self.client_key,
            self.server_key,
            &self.session.0,
            self.context_hash,
        ])
    }

    /// The keys, and what evidence has to say of whoever has them.
    pub(super) fn keys(&self, shared: &Secret) -> (Keys, Claims) {
        let th = self.hash();
        let prk = extract(&th, &[&shared[..]]);
        let label = |name: &str| format!("steve-e2p-v2/{name}");
        let key = |name: &str| aead_key(&expand::<32>(&prk, &[label(name).as_bytes()]));
        let iv = |name: &str| expand::<4>(&prk, &[label(name).as_bytes()]);
        let binder = expand::<32>(&prk, &[label("attestation-binder").as_bytes()]);
        let keys = Keys {
            session: self.session,
            th,
            aeads: [key("c2s-key"), key("s2c-key")],
            ivs: [iv("c2s-iv"), iv("s2c-iv")],
        };
        (keys, Claims { suite: self.suite, session: self.session, transcript_hash: th, binder: *binder })
    }
}

/// What an enclave says of a session in the `user_data` of an attestation document.
///
/// Only a key exchange gives a binder, so nobody chooses what is attested but by beginning a session; and their
/// first byte is that of no CBOR map, so they are neither `caution-evidence` nor `steve3-evidence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The deployment's suite.
    pub suite: Suite,
    /// The session's name.
    pub session: SessionId,
    /// The digest of what both sides said.
    pub transcript_hash: [u8; 32],
    /// What only they can compute.
    pub binder: [u8; 32],
}

impl Claims {
    /// The JSON text, in this one form; 240 bytes at most.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [session, transcript, binder] =
            [&self.session.0[..], &self.transcript_hash, &self.binder].map(|it| BASE64URL_NOPAD.encode(it));
        let suite = suite_name(self.suite);
        format!(
            r#"{{"protocol":"{PROTOCOL}","key_exchange":"{suite}","session_id":"{session}","transcript_hash":"{transcript}","binder":"{binder}"}}"#
        )
        .into_bytes()
    }

    /// Whether a document's `user_data` say exactly this.
    pub fn are(&self, user_data: &[u8]) -> bool {
        self.to_bytes().ct_eq(user_data).into()
    }
}

/// The way a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Confirmation,
    Application,
}

/// The keys of a session, both ways.
pub(super) struct Keys {
    pub(super) session: SessionId,
    th: [u8; 32],
    aeads: [LessSafeKey; 2],
    ivs: [Zeroizing<[u8; 4]>; 2],
}

/// Which record it is: each is sealed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) purpose: Purpose,
    pub(super) direction: Direction,
    pub(super) sequence: u64,
}

impl Keys {
    pub(super) fn transcript_hash(&self) -> [u8; 32] {
        self.th
    }

    /// Seals what `bytes` holds from `from` on, and appends the tag.
    pub(super) fn seal(&self, place: Place, bytes: &mut Vec<u8>, from: usize) {
        let aad = self.aad(place);
        let tag = self
            .key(place)
            .seal_in_place_separate_tag(self.nonce(place), Aad::from(&aad), &mut bytes[from..])
            .expect("messages here are far below the limit of AES-GCM");
        bytes.extend_from_slice(tag.as_ref());
    }

    /// Opens where it stands; gives the length of what was sealed.
    pub(super) fn open(&self, place: Place, sealed: &mut [u8]) -> Result<usize, Error> {
        let aad = self.aad(place);
        self.key(place)
            .open_in_place(self.nonce(place), Aad::from(&aad), sealed)
            .map(|plain| plain.len())
            .map_err(|_| Error::NotAuthentic(place.what()))
    }

    /// The record that says that its sender has these keys.
    pub(super) fn confirmation(&self, direction: Direction) -> Vec<u8> {
        let mut bytes = self.th.to_vec();
        self.seal(Place { purpose: Purpose::Confirmation, direction, sequence: 0 }, &mut bytes, 0);
        bytes
    }

    pub(super) fn check_confirmation(&self, direction: Direction, sealed: &[u8]) -> Result<(), Error> {
        let place = Place { purpose: Purpose::Confirmation, direction, sequence: 0 };
        let mut opened = sealed.to_vec();
        let length = self.open(place, &mut opened)?;
        let same: bool = opened[..length].ct_eq(&self.th).into();
        if same { Ok(()) } else { Err(Error::NotAuthentic(place.what())) }
    }

    fn key(&self, place: Place) -> &LessSafeKey {
        &self.aeads[place.direction as usize]
    }

    fn nonce(&self, place: Place) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.ivs[place.direction as usize][..]);
        nonce[4..].copy_from_slice(&place.sequence.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// `magic || type || direction || session_id || sequence`.
    fn aad(&self, place: Place) -> Vec<u8> {
        let kind = [place.purpose as u8, place.direction as u8];
        [MAGIC, &kind, &self.session.0, &place.sequence.to_be_bytes()].concat()
    }
}

impl Place {
    const fn what(self) -> &'static str {
        match (self.purpose, self.direction) {
            (Purpose::Confirmation, _) => "confirmation",
            (Purpose::Application, Direction::ToServer) => "request",
            (Purpose::Application, Direction::ToClient) => "response",
        }
    }
}

/// What sealing adds, in bytes.
pub(super) const OVERHEAD: usize = TAG;
