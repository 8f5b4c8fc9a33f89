use super::*;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

/// An entry that is consistent; `seed` makes it another release.
fn entry(version: &str, seed: u8) -> Value {
    let [kernel, cmdline, ramdisk] = [0, 1, 2].map(|part| Sha256Digest::of(&[seed, part]));
    json!({
        "version": version,
        "id": identity(&kernel, &cmdline, &ramdisk),
        "pcr1": Pcr::new([seed; 48]),
        "kernel_version": "6.12.117-1~deb12u1",
        "source_commit": "0123456789abcdef0123456789abcdef01234567",
        "released": "2026-11-21",
        "kernel": kernel,
        "cmdline": cmdline,
        "ramdisk": ramdisk,
    })
}

fn list(serial: u64, releases: &[Value]) -> Value {
    json!({ "schema": "caution.enclaveos-releases/1", "serial": serial, "releases": releases })
}

fn parse(list: &Value) -> Result<KnownReleases, KnownError> {
    KnownReleases::parse(list.to_string().as_bytes())
}

#[test]
fn a_list_is_read_and_asked_by_register() {
    let known = parse(&list(3, &[entry("0.9.0", 1), entry("0.10.0", 2)])).unwrap();
    assert_eq!((known.serial(), known.releases().len()), (3, 2));
    assert_eq!(known.by_pcr1(&Pcr::new([2; 48])).unwrap().version, "0.10.0");
    assert_eq!(known.by_pcr1(&Pcr::new([3; 48])), None);
    let again = KnownReleases::parse(&serde_json::to_vec(&known).unwrap()).unwrap();
    assert_eq!(again, known);
}

#[test]
fn entries_that_cannot_be_right_are_refused_by_name() {
    let changed = |key: &str, value: Value| {
        let mut entry = entry("1.0.0", 1);
        entry[key] = value;
        vec![entry]
    };
    let computed =
        identity(&Sha256Digest::of(&[1, 0]), &Sha256Digest::of(&[1, 1]), &Sha256Digest::of(&[1, 2]));
    let long = "1".repeat(65);
    for (releases, expected) in [
        (changed("version", json!("1.0")), EntryFault::Version),
        (changed("version", json!("1.0.+0")), EntryFault::Version),
        (changed("version", json!("1.00.0")), EntryFault::Version),
        (changed("version", json!("1.0.0.0")), EntryFault::Version),
        (changed("pcr1", json!(Pcr::ZERO)), EntryFault::ZeroPcr1),
        (changed("id", json!("11".repeat(32))), EntryFault::Identity { computed }),
        (
            changed("kernel", json!("11".repeat(32))),
            EntryFault::Identity {
                computed: identity(
                    &Sha256Digest::new([0x11; 32]),
                    &Sha256Digest::of(&[1, 1]),
                    &Sha256Digest::of(&[1, 2]),
                ),
            },
        ),
        (changed("source_commit", json!("0123456")), EntryFault::Commit),
        (changed("source_commit", json!("A".repeat(40))), EntryFault::Commit),
        (changed("released", json!("21.11.2026")), EntryFault::Day),
        (changed("released", json!("2026-13-01")), EntryFault::Day),
        (changed("released", json!("2026-1é-01")), EntryFault::Day),
        (changed("kernel_version", json!("")), EntryFault::KernelVersion),
        (changed("kernel_version", json!(long)), EntryFault::KernelVersion),
        (changed("kernel_version", json!("6\u{1b}[2J")), EntryFault::KernelVersion),
        (vec![entry("1.0.0", 1), entry("1.0.0", 2)], EntryFault::Order { before: "1.0.0".into() }),
        (vec![entry("0.10.0", 1), entry("0.9.0", 2)], EntryFault::Order { before: "0.10.0".into() }),
        (vec![entry("1.0.0", 1), entry("1.0.1", 1)], EntryFault::DuplicatePcr1),
    ] {
        let error = parse(&list(1, &releases)).unwrap_err();
        let KnownError::Entry { source, .. } = &error else { panic!("{error}") };
        assert_eq!(*source, expected);
    }
}

#[test]
fn what_is_no_such_list_is_refused() {
    let mut other = list(1, &[]);
    other["schema"] = json!("caution.enclaveos-releases/2");
    let mut more = list(1, &[]);
    more["more"] = json!(1);
    let mut in_entry = entry("1.0.0", 1);
    in_entry["more"] = json!(1);
    for wrong in [other, more, list(1, &[in_entry]), json!([])] {
        assert!(matches!(parse(&wrong), Err(KnownError::Json(_))), "{wrong}");
    }
    let long = vec![b' '; MAX_LIST + 1];
    assert!(matches!(KnownReleases::parse(&long), Err(KnownError::TooLarge { .. })));
}

#[test]
fn a_list_never_goes_back_and_a_released_version_never_changes() {
    let known = parse(&list(2, &[entry("1.0.0", 1), entry("1.0.1", 2)])).unwrap();
    let follow = |next: &Value| known.check_follows(&parse(next).unwrap());
    assert!(matches!(
        follow(&list(1, &[entry("1.0.0", 1), entry("1.0.1", 2)])),
        Err(KnownError::Older { known: 2, offered: 1 })
    ));
    assert!(matches!(follow(&list(3, &[entry("1.0.0", 3)])), Err(KnownError::Rewritten { .. })));
    follow(&list(2, &[entry("1.0.0", 1), entry("1.0.1", 2)])).unwrap();
    // One that was withdrawn, and a new one.
    follow(&list(3, &[entry("1.0.1", 2), entry("1.1.0", 3)])).unwrap();

    let mut untagged = entry("1.0.0", 1);
    untagged["released"] = Value::Null;
    parse(&list(2, &[untagged]))
        .unwrap()
        .check_follows(&parse(&list(3, &[entry("1.0.0", 3)])).unwrap())
        .unwrap();
}

#[test]
fn only_what_a_known_key_signed_is_read() {
    let [first, second, other] =
        [1, 2, 3].map(|seed| SigningKey::from_slice(&[seed; 48]).expect("a number below the order"));
    let points = [&first, &second].map(|key| key.verifying_key().to_sec1_point(false));
    let keys = ListKeys::new(points.iter().map(p384::Sec1Point::as_bytes)).unwrap();
    let bytes = list(1, &[entry("1.0.0", 1)]).to_string().into_bytes();
    let sign = |key: &SigningKey, bytes: &[u8]| {
        let signature: Signature = key.sign(bytes);
        signature.to_der().as_bytes().to_vec()
    };
    for key in [&first, &second] {
        assert_eq!(keys.open(&bytes, &sign(key, &bytes)).unwrap().releases().len(), 1);
    }
    assert!(matches!(keys.open(&bytes, &sign(&other, &bytes)), Err(SignedListError::Untrusted)));
    let changed = [&bytes[..], b" "].concat();
    assert!(matches!(keys.open(&changed, &sign(&first, &bytes)), Err(SignedListError::Untrusted)));
    let mut longer = sign(&first, &bytes);
    longer.push(0);
    for wrong in [&longer[..], &[], b"text"] {
        assert!(matches!(keys.open(&bytes, wrong), Err(SignedListError::Malformed)));
    }
    // What is no list is refused although it is signed.
    assert!(matches!(
        keys.open(b"{}", &sign(&first, b"{}")),
        Err(SignedListError::List(KnownError::Json(_)))
    ));
    assert_eq!(ListKeys::new([&[4u8; 97][..]]).unwrap_err(), 0);
}
