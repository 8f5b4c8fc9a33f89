use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use minicbor::Encoder;

const CHALLENGE: [u8; 32] = [9; 32];

/// A key in COSE, and what signs with it.
type Key = (Vec<u8>, Box<dyn Fn(&[u8]) -> Vec<u8>>);

fn site() -> RelyingParty {
    RelyingParty::of_url("https://caution.example").unwrap()
}

fn ed25519() -> Key {
    let key = Ed25519KeyPair::generate().unwrap();
    let cose = cose(&[(1, 1), (3, -8), (-1, 6)], &[(-2, key.public_key().as_ref())]);
    (cose, Box::new(move |signed| key.sign(signed).as_ref().to_vec()))
}

fn p256() -> Key {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let point = key.public_key().as_ref().to_vec();
    let cose = cose(&[(1, 2), (3, -7), (-1, 1)], &[(-2, &point[1..33]), (-3, &point[33..])]);
    (cose, Box::new(move |signed| key.sign(&SystemRandom::new(), signed).unwrap().as_ref().to_vec()))
}

fn rsa() -> Key {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // SEQUENCE { INTEGER n, INTEGER e } (RFC 8017 §A.1.1), of 2048 bits and 65537.
    let public = key.public_key().as_ref();
    let (n, e) = (&public[9..265], &public[267..]);
    let cose = cose(&[(1, 3), (3, -257)], &[(-1, n), (-2, e)]);
    let sign = move |signed: &[u8]| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed, &mut signature).unwrap();
        signature
    };
    (cose, Box::new(sign))
}

fn cose(numbers: &[(i64, i64)], bytes: &[(i64, &[u8])]) -> Vec<u8> {
    let mut key = Vec::new();
    let mut encoder = Encoder::new(&mut key);
    encoder.map((numbers.len() + bytes.len()) as u64).unwrap();
    for (label, number) in numbers {
        encoder.i64(*label).unwrap().i64(*number).unwrap();
    }
    for (label, bytes) in bytes {
        encoder.i64(*label).unwrap().bytes(bytes).unwrap();
    }
    key
}

fn client_data(kind: &str) -> Vec<u8> {
    let challenge = BASE64URL_NOPAD.encode(&CHALLENGE);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"https://caution.example","other":[1]}}"#)
        .into_bytes()
}

fn authenticator_data(flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut data = Sha256Digest::of(b"caution.example").as_bytes().to_vec();
    data.push(flags);
    data.extend([0, 0, 0, 1]);
    data.extend(rest);
    data
}

fn attested(key: &[u8]) -> Vec<u8> {
    [&[0; 16][..], &[0, 3], b"abc", key].concat()
}

fn register(client_data: &[u8], data: &[u8]) -> Result<Credential, WebauthnError> {
    site().registered(&Registration { client_data, authenticator_data: data })
}

#[test]
fn each_kind_of_key_registers_and_signs_in() {
    for (key, sign) in [ed25519(), p256(), rsa()] {
        let made = client_data("webauthn.create");
        let new = register(&made, &authenticator_data(0x45, &attested(&key))).unwrap();
        assert_eq!((new.id.as_slice(), new.count), (&b"abc"[..], 1));
        assert_eq!(challenge(&made).unwrap(), CHALLENGE);
        let (used, data) = (client_data("webauthn.get"), authenticator_data(0x05, &[]));
        let signed = [&data[..], Sha256Digest::of(&used).as_bytes()].concat();
        let signature = sign(&signed);
        let said = Assertion { client_data: &used, authenticator_data: &data, signature: &signature };
        assert_eq!(site().asserted(&new.key, 0, &said), Ok(1));
        assert_eq!(site().asserted(&new.key, 1, &said), Err(WebauthnError::Cloned { before: 1, now: 1 }));
        // One for the other's purpose.
        let made = Assertion { client_data: &made, ..said };
        assert!(matches!(site().asserted(&new.key, 0, &made), Err(WebauthnError::Mismatch { .. })));
        assert!(register(&used, &authenticator_data(0x45, &attested(&key))).is_err());
        for at in 0..signature.len() {
            let mut other = signature.clone();
            other[at] ^= 1;
            let said = Assertion { signature: &other, ..said };
            assert_eq!(site().asserted(&new.key, 0, &said), Err(WebauthnError::Signature));
        }
    }
}

#[test]
fn bytes_that_are_changed_or_cut_are_refused_and_never_break_anything() {
    let (key, _) = p256();
    let extensions = [0xa1, 0x61, b'x', 0xf5];
    let data = authenticator_data(0xc5, &[attested(&key), extensions.to_vec()].concat());
    let made = client_data("webauthn.create");
    let whole = register(&made, &data).unwrap();
    for end in 0..data.len() {
        assert!(register(&made, &data[..end]).is_err(), "{end}");
    }
    assert!(register(&made, &[&data[..], &[0]].concat()).is_err());
    for at in 0..data.len() {
        for bit in 0..8 {
            let mut other = data.clone();
            other[at] ^= 1 << bit;
            // The counter, the model, the id, the point and what extensions say may be anything.
            if let Ok(other) = register(&made, &other) {
                assert!(
                    (33..37).contains(&at) || (37..53).contains(&at) || at >= 55 || other == whole,
                    "{at}"
                );
            }
        }
    }
    for end in 0..made.len() {
        assert!(register(&made[..end], &data).is_err());
    }
}

#[test]
fn keys_and_flags_that_nobody_should_have_are_refused() {
    let made = client_data("webauthn.create");
    let refused = |key: &[u8]| register(&made, &authenticator_data(0x45, &attested(key))).unwrap_err();
    let x = [7; 32];
    for key in [
        cose(&[(1, 1), (3, -7), (-1, 6)], &[(-2, &x)]),
        cose(&[(1, 2), (3, -7), (-1, 1)], &[(-2, &x)]),
        cose(&[(1, 1), (3, -8), (-1, 6)], &[(-2, &x[1..])]),
        cose(&[(1, 3), (3, -257)], &[(-1, &x), (-2, &[1, 0, 1])]),
    ] {
        assert_eq!(refused(&key), WebauthnError::Key);
    }
    for key in [
        cose(&[(1, 1), (1, 1), (3, -8), (-1, 6)], &[(-2, &x)]),
        cose(&[(1, 1), (3, -8), (-1, 6), (9, 9)], &[(-2, &x)]),
        vec![0xbf, 1, 1, 0xff],
        vec![0x80],
    ] {
        assert_eq!(refused(&key), WebauthnError::Malformed("key"));
    }
    let (key, _) = ed25519();
    for (flags, why) in [
        (0x41, WebauthnError::NotVerified),
        (0x44, WebauthnError::NotVerified),
        (0x55, WebauthnError::Malformed("authenticator's data")),
        (0x05, WebauthnError::Malformed("authenticator's data")),
    ] {
        assert_eq!(register(&made, &authenticator_data(flags, &attested(&key))), Err(why));
    }
    assert_eq!(
        register(&made, &authenticator_data(0x05, &[])),
        Err(WebauthnError::Malformed("new credential"))
    );
    let framed = String::from_utf8(made).unwrap().replace("\"other\":[1]", "\"crossOrigin\":true");
    let data = authenticator_data(0x45, &attested(&key));
    assert_eq!(register(framed.as_bytes(), &data), Err(WebauthnError::CrossOrigin));
}
