//! Single values: bundles, key configurations, epoch claims, sealed errors.

use super::{Answer, Question, bytes, hex};
use crate::agreement::changes::meddled;
use crate::agreement::random::Random;
use caution_steve::{
    Bundle, EpochClaims, Flags, KeyConfig, SealedCode, SealedError, Suite, decode_key_configs,
    encode_key_configs, key_configs_hash,
};

pub(super) fn bundle(random: &mut Random) -> (Question, Answer) {
    let length = random.pick(&[0, 23, 24, 255, 256, 4000, 32_715, 32_716, 32_717, 32_720, 40_000]);
    let honest = Bundle { key_configs: list(random), document: vec![random.byte(); length] };
    let bytes = changed(honest.to_bytes(), random);
    let answer = Bundle::from_bytes(&bytes).map_or_else(Answer::none, |bundle| {
        let said = [hex(&bundle.key_configs), hex(&bundle.document), hex(&bundle.to_bytes())].join(" ");
        Answer::ok(said)
    });
    (Question::Bundle { bytes: hex(&bytes) }, answer)
}

pub(super) fn key_configs(random: &mut Random) -> (Question, Answer) {
    let bytes = changed(list(random), random);
    let answer = match decode_key_configs(&bytes) {
        Ok(configs) => {
            let one = |config: &KeyConfig| {
                format!("{} {} {}", config.key_id, config.suite, hex(&config.public_key))
            };
            let shown: Vec<_> = configs.iter().map(one).collect();
            let written = encode_key_configs(&configs);
            let hash = key_configs_hash(&bytes);
            Answer::ok(format!("{} {} {}", shown.join("; "), hex(&written), hex(&hash)))
        }
        Err(error) => Answer::refused("", &error),
    };
    (Question::KeyConfigs { bytes: hex(&bytes) }, answer)
}

pub(super) fn claims(random: &mut Random) -> (Question, Answer) {
    let honest = EpochClaims {
        key_configs_hash: bytes(random),
        instance: bytes(random),
        not_before_ms: number(random),
        not_after_ms: number(random),
        manifest_hash: bytes(random),
        tls_key_hash: random.one_in(2).then(|| bytes(random)),
        flags: Flags { plaintext_fallback: random.one_in(2), public_assets: random.one_in(2) },
    };
    let mut bytes = changed(honest.to_bytes(), random);
    if random.one_in(6)
        && let Some(flags) = bytes.last_mut()
    {
        *flags = random.byte() % 9;
    }
    let answer = EpochClaims::from_bytes(&bytes).map_or_else(Answer::none, |claims| {
        let tls = claims.tls_key_hash.map_or_else(|| "null".to_owned(), |hash| hex(&hash));
        let Flags { plaintext_fallback, public_assets } = claims.flags;
        let (hash, instance) = (hex(&claims.key_configs_hash), hex(&claims.instance));
        Answer::ok(format!(
            "{hash} {instance} {} {} {} {tls} {plaintext_fallback} {public_assets} {}",
            claims.not_before_ms,
            claims.not_after_ms,
            hex(&claims.manifest_hash),
            hex(&claims.to_bytes()),
        ))
    });
    (Question::Claims { bytes: hex(&bytes) }, answer)
}

pub(super) fn sealed_error(random: &mut Random) -> (Question, Answer) {
    let honest = SealedError {
        code: random.pick(&SealedCode::ALL),
        executed: random.one_in(2),
        retry_after_s: random.one_in(2).then(|| u32::try_from(number(random)).unwrap_or(u32::MAX)),
    };
    let bytes = changed(honest.to_bytes(), random);
    let answer = match SealedError::from_bytes(&bytes) {
        Ok(error) => {
            let retry = error.retry_after_s.map_or_else(|| "null".to_owned(), |seconds| seconds.to_string());
            let (name, executed) = (error.code.name(), error.executed);
            Answer::ok(format!("{name} {executed} {retry} {}", hex(&error.to_bytes())))
        }
        Err(error) => Answer::refused("", &error),
    };
    (Question::SealedError { bytes: hex(&bytes) }, answer)
}

/// As it is, or not.
fn changed(honest: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if random.one_in(4) { honest } else { meddled(&honest, random) }
}

/// A list of one to six configurations; too many keys of X-Wing are too long a list.
fn list(random: &mut Random) -> Vec<u8> {
    let count = random.pick(&[1, 1, 1, 2, 3, 4, 5, 6]);
    let configs: Vec<_> = (0..count)
        .map(|at| {
            let suite = random.pick(&[Suite::X25519, Suite::X25519, Suite::XWing]);
            let key_id = if random.one_in(6) { 1 } else { at };
            KeyConfig { key_id, suite, public_key: vec![random.byte(); suite.public_key_len()] }
        })
        .collect();
    encode_key_configs(&configs)
}

/// A number at or near a border of CBOR's heads.
fn number(random: &mut Random) -> u64 {
    let border = random.pick(&[0, 24, 256, 65_536, 1 << 32, 1_768_478_400_000, 1 << 53, u64::MAX]);
    border.wrapping_sub(u64::from(random.one_in(2)))
}
