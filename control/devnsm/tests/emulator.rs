//! The emulator as an enclave and a verifier see it.

use caution_abi::nsm::{Request, Response, document_time_ms};
use caution_attest::{
    Archived, DebugPolicy, Evidence, Expected, Live, RootKind, Roots, UnixMillis, Unverified, VerifyError,
};
use caution_devnsm::{CERTIFICATE_FILE, DevNsm, DevRoot, DevRootError, KEY_FILE, LEAF_LIFETIME_SECONDS};
use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NOON: u64 = 1_768_478_400_000;
const LIVE: Live<'static> = Live { now: UnixMillis(NOON), nonce: b"nonce", max_age_ms: 0 };

fn measured() -> Measurements {
    Measurements { pcr0: Pcr::new([1; 48]), pcr1: Pcr::new([2; 48]), pcr2: Pcr::new([3; 48]) }
}

struct Setup {
    _folder: tempfile::TempDir,
    root: DevRoot,
    nsm: DevNsm,
    clock: Arc<AtomicU64>,
}

fn setup(debug: bool) -> Setup {
    setup_signed(debug, None)
}

fn setup_signed(debug: bool, pcr8: Option<Pcr>) -> Setup {
    let image = ImagePcrs { measurements: measured(), pcr8 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = DevRoot::load_or_create(folder.path()).expect("a root");
    let clock = Arc::new(AtomicU64::new(NOON));
    let hand = Arc::clone(&clock);
    let nsm = DevNsm::new(&root, image, debug, "i-0dev-enc1", move || hand.load(Ordering::Relaxed))
        .expect("a module");
    Setup { _folder: folder, root, nsm, clock }
}

fn document(nsm: &mut DevNsm, request: Request<'_>) -> Vec<u8> {
    match Response::from_bytes(&nsm.handle(&request.to_bytes())) {
        Ok(Response::Attestation { document }) => document,
        other => panic!("{other:?}"),
    }
}

fn evidence(nsm: &mut DevNsm) -> Evidence<Unverified> {
    let request = Request::Attestation { user_data: Some(b"data"), nonce: Some(b"nonce"), public_key: None };
    Evidence::parse(&document(nsm, request)).expect("a document")
}

fn roots(setup: &Setup) -> Roots {
    Roots::dev_root(setup.root.root_der()).expect("a certificate")
}

#[test]
fn documents_verify_under_the_named_development_root_only() {
    let mut setup = setup(false);
    let image = [ImagePcrs { measurements: measured(), pcr8: None }];
    let expected = Expected { profiles: &image, ..Expected::default() };
    let verified = evidence(&mut setup.nsm).verify(&roots(&setup), &LIVE, &expected).unwrap();
    assert_eq!(verified.root(), RootKind::Dev);
    assert_eq!(verified.measurements(), measured());
    assert_eq!(verified.module_id(), "i-0dev-enc1");
    assert_eq!(verified.timestamp(), UnixMillis(NOON));
    assert_eq!(verified.user_data(), Some(&b"data"[..]));
    assert_eq!(verified.public_key(), None);
    assert_eq!(verified.pcrs().count(), 16);
    let about_nothing = Request::Attestation { user_data: None, nonce: None, public_key: None };
    assert_eq!(document_time_ms(&document(&mut setup.nsm, about_nothing)), Ok(NOON));
    assert!(verified.pcr(PcrIndex::try_from(15).unwrap()).unwrap().is_zero());
    assert_eq!(verified.chain().len(), 5);
    for certificate in verified.chain() {
        assert!(certificate.common_name.starts_with("DEVELOPMENT, not hardware"), "{certificate:?}");
    }

    let refusal = evidence(&mut setup.nsm).verify(&Roots::aws(), &LIVE, &expected).unwrap_err();
    assert!(matches!(refusal, VerifyError::UnknownRoot { .. }));
}

#[test]
fn pcr8_names_the_signer_of_a_signed_image() {
    let signer = Pcr::new([8; 48]);
    let mut module = setup_signed(false, Some(signer));
    let registers = [(PcrIndex::SIGNER, signer)];
    let expected = Expected { registers: &registers, ..Expected::default() };
    evidence(&mut module.nsm).verify(&roots(&module), &LIVE, &expected).expect("is signed by them");
    let mut plain = setup(false);
    let refused = evidence(&mut plain.nsm).verify(&roots(&plain), &LIVE, &expected);
    assert!(matches!(refused, Err(VerifyError::PcrMismatch { .. })), "{refused:?}");
}

#[test]
fn debug_mode_attests_zeros() {
    let mut setup = setup_signed(true, Some(Pcr::new([8; 48])));
    let refusal = evidence(&mut setup.nsm).verify(&roots(&setup), &LIVE, &Expected::default()).unwrap_err();
    assert_eq!(refusal, VerifyError::DebugMode);
    let expected = Expected { debug: DebugPolicy::Allow, ..Expected::default() };
    let verified = evidence(&mut setup.nsm).verify(&roots(&setup), &LIVE, &expected).unwrap();
    assert!(verified.is_debug());
    assert!(verified.pcrs().all(|(_, pcr)| pcr.is_zero()));
}

#[test]
fn certificates_are_renewed_before_their_end_and_when_the_clock_goes_back() {
    let mut setup = setup(false);
    let first = evidence(&mut setup.nsm).unverified_fields().certificate.clone();
    assert_eq!(evidence(&mut setup.nsm).unverified_fields().certificate, first);
    let mut seen = vec![first];
    for now in [NOON + LEAF_LIFETIME_SECONDS * 1000, NOON + 86_400_000 * 30, NOON - 86_400_000] {
        setup.clock.store(now, Ordering::Relaxed);
        let evidence = evidence(&mut setup.nsm);
        let leaf = evidence.unverified_fields().certificate.clone();
        assert!(!seen.contains(&leaf));
        seen.push(leaf);
        let verified = evidence
            .verify(&roots(&setup), &Live { now: UnixMillis(now), ..LIVE }, &Expected::default())
            .unwrap();
        assert!(verified.leaf_valid_until().0 >= now + 3_600_000);
        assert!(verified.leaf_valid_until().0 <= now + LEAF_LIFETIME_SECONDS * 1000);
    }
}

#[test]
fn requests_get_the_answers_and_errors_of_the_real_module() {
    let Setup { mut nsm, .. } = setup(false);
    let mut ask = |request: &[u8]| Response::from_bytes(&nsm.handle(request)).unwrap();
    let mut pcr = |index| ask(&Request::DescribePcr { index }.to_bytes());
    assert_eq!(pcr(1), Response::DescribePcr { lock: true, data: vec![2; 48] });
    assert_eq!(pcr(4), Response::DescribePcr { lock: true, data: vec![0; 48] });
    assert_eq!(pcr(31), Response::DescribePcr { lock: false, data: vec![0; 48] });
    assert_eq!(pcr(32), Response::Error("InvalidIndex".into()));

    let Response::GetRandom { random } = ask(&Request::GetRandom.to_bytes()) else { panic!() };
    assert_eq!(random.len(), 256);
    assert_ne!(Response::GetRandom { random }, ask(&Request::GetRandom.to_bytes()));

    assert_eq!(ask(b"\xf6"), Response::Error("InvalidOperation".into()));
    assert_eq!(ask(&[]), Response::Error("InvalidOperation".into()));
    assert_eq!(ask(&[0; 4097]), Response::Error("InputTooLarge".into()));
    let (data, key) = ([0; 513], [0; 1025]);
    let none = Request::Attestation { user_data: None, nonce: None, public_key: None };
    let limits = [
        (Request::Attestation { user_data: Some(&data), nonce: None, public_key: None }, false),
        (Request::Attestation { user_data: None, nonce: Some(&data), public_key: None }, false),
        (Request::Attestation { user_data: None, nonce: None, public_key: Some(&key) }, false),
        (
            Request::Attestation {
                user_data: Some(&data[..512]),
                nonce: Some(&data[..512]),
                public_key: Some(&key[..1024]),
            },
            true,
        ),
        (none, true),
    ];
    for (request, fits) in limits {
        match ask(&request.to_bytes()) {
            Response::Attestation { document } => assert!(fits && Evidence::parse(&document).is_ok()),
            refusal => assert!(!fits && refusal == Response::Error("InputTooLarge".into())),
        }
    }
}

#[test]
fn an_expired_document_is_only_that() {
    let Setup { root, .. } = &setup(false);
    let document = caution_devnsm::expired_document(root, &measured(), b"nonce", b"data");
    let roots = Roots::dev_root(root.root_der()).unwrap();
    let image = [ImagePcrs { measurements: measured(), pcr8: None }];
    let expected = Expected { profiles: &image, ..Expected::default() };
    let evidence = || Evidence::parse(&document).unwrap();
    assert!(matches!(evidence().verify(&roots, &LIVE, &expected), Err(VerifyError::Expired { .. })));
    let archived = Archived { at: None, nonce: Some(b"nonce") };
    let verified = evidence().verify_archived(&roots, &archived, &expected).unwrap();
    assert_eq!(verified.checked().at(), UnixMillis(1_735_689_600_000));
}

#[test]
fn a_root_is_made_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state/root");
    let first = DevRoot::load_or_create(&dir).unwrap();
    let second = DevRoot::load_or_create(&dir).unwrap();
    assert_eq!(first.root_der(), second.root_der());
    assert_eq!(std::fs::read(dir.join(CERTIFICATE_FILE)).unwrap(), first.root_der());
    assert_eq!(std::fs::metadata(dir.join(KEY_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "no temporary file stays");

    let elsewhere = DevRoot::load_or_create(&folder.path().join("other")).unwrap();
    assert_ne!(elsewhere.root_der(), first.root_der());
    assert!(!format!("{first:?}").contains("key"));
}

#[test]
fn several_processes_at_once_get_one_root() {
    let folder = tempfile::tempdir().unwrap();
    let roots: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let load = || DevRoot::load_or_create(folder.path()).unwrap().root_der().to_vec();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_key_file_that_is_open_or_broken_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join(KEY_FILE);
    let write = |bytes: &[u8], mode| {
        std::fs::write(&key, bytes).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        DevRoot::load_or_create(folder.path()).unwrap_err()
    };
    assert!(matches!(write(&[1; 48], 0o644), DevRootError::Readable { mode: 0o644, .. }));
    for bytes in [&[1; 47][..], &[1; 49], &[0; 48], &[0xff; 48]] {
        assert!(matches!(write(bytes, 0o600), DevRootError::NotAKey { .. }));
    }
    let inside_a_file = DevRoot::load_or_create(&key.join("x")).unwrap_err();
    assert!(matches!(inside_a_file, DevRootError::File { .. }), "{inside_a_file}");
}

/// The certificates written here are read by a parser nobody here wrote.
#[test]
fn certificates_are_read_by_another_reader() {
    use x509_cert::der::Decode as _;
    use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
    let mut setup = setup(false);
    let evidence = evidence(&mut setup.nsm);
    let fields = evidence.unverified_fields();
    for (index, der) in fields.cabundle.iter().chain([&fields.certificate]).enumerate() {
        let certificate = x509_cert::Certificate::from_der(der).unwrap();
        let tbs = certificate.tbs_certificate();
        let (_, basic) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
        let path_length = [None, Some(2), Some(1), Some(0), None][index];
        assert_eq!((basic.ca, basic.path_len_constraint), (index < 4, path_length));
        let (_, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
        assert!(usage.digital_signature());
        assert_eq!(usage.key_cert_sign(), index < 4);
        assert!(tbs.subject().to_string().contains("DEVELOPMENT"));
    }
}
