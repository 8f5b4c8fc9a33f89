use super::*;
use std::net::TcpListener;
use std::process::Command;

fn limits(seconds: u64) -> RemoteLimits {
    RemoteLimits { silence: Duration::from_secs(seconds), ..RemoteLimits::default() }
}

#[test]
fn a_server_that_never_answers_is_left() {
    // It takes connections, and nobody ever reads from them.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("is bound").port();
    let url: SourceUrl = format!("https://127.0.0.1:{port}/app.git").parse().expect("an address");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let remote = Remote::new(&url, folder.path(), limits(1), false);
    let error = remote.fetch_commit(&"1".repeat(40).parse().expect("an id")).expect_err("no answer");
    assert!(matches!(error, RemoteError::Stalled { seconds: 1, .. }), "{error:?}");
    let error = remote.tip("main").expect_err("no answer");
    assert!(matches!(error, RemoteError::Stalled { .. }), "{error:?}");
}

#[test]
fn nobody_listening_is_named() {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.local_addr().expect("is bound").port()
    };
    let url: SourceUrl = format!("https://127.0.0.1:{port}/app.git").parse().expect("an address");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let remote = Remote::new(&url, folder.path(), limits(60), false);
    let error = remote.fetch_commit(&"1".repeat(40).parse().expect("an id")).expect_err("no answer");
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error:?}");
}

/// A word now and then is no silence.
#[test]
fn a_server_that_only_keeps_talking_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "while :; do echo remote: soon >&2; sleep 0.1; done"]).env("PATH", "/usr/bin:/bin");
    let limits = RemoteLimits { whole: Duration::from_secs(2), ..limits(1) };
    let outcome = run::run(&command, folder.path(), limits, false).expect("runs");
    assert!(matches!(outcome, run::Outcome::TooSlow));
    assert!(RemoteLimits::of(u64::MAX).whole > RemoteLimits::default().whole);
}

#[test]
fn no_file_grows_beyond_the_limit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("pack");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "head -c 2000000 /dev/zero > \"$0\""]).arg(&path).env("PATH", "/usr/bin:/bin");
    let limits = RemoteLimits { bytes: 1 << 20, ..limits(60) };
    let outcome = run::run(&command, folder.path(), limits, false).expect("runs");
    assert!(matches!(outcome, run::Outcome::Failed(_)));
    assert_eq!(std::fs::metadata(&path).expect("was begun").len(), 1 << 20);
}

/// Each step says "the same 16 MiB again", four bytes for 16 MiB.
#[test]
fn a_pack_that_would_fill_the_memory_is_refused() {
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write as _;
    fn head(kind: u8, mut size: u64) -> Vec<u8> {
        let mut bytes = vec![kind << 4 | (size & 15) as u8];
        size >>= 4;
        while size > 0 {
            *bytes.last_mut().expect("has one") |= 0x80;
            bytes.push((size & 0x7f) as u8);
            size >>= 7;
        }
        bytes
    }
    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        bytes.push(value.to_le_bytes()[0]);
        bytes
    }
    let packed = |bytes: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it")
    };
    let id = |bytes: &[u8]| {
        let mut hasher = sha1_checked::Sha1::new();
        sha1_checked::Digest::update(&mut hasher, bytes);
        sha1_checked::Digest::finalize(hasher).to_vec()
    };
    let (size, times) = (0x00ff_ffff_u64, 300);
    let base = vec![0; 0x00ff_ffff];
    let steps = b"\xf0\xff\xff\xff".repeat(times);
    let delta = [number(size), number(size * times as u64), steps].concat();
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    pack.extend([head(3, size), packed(&base)].concat());
    let base_id = id(&[format!("blob {size}\0").as_bytes(), &base].concat());
    pack.extend([head(7, delta.len() as u64), base_id, packed(&delta)].concat());
    pack.extend(id(&pack.clone()));

    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("bomb.pack"), pack).expect("writes");
    let mut command = Command::new("git");
    command.arg("-C").arg(folder.path()).args(["index-pack", "bomb.pack"]).env("PATH", "/usr/bin:/bin");
    let limits = RemoteLimits { bytes: 64 << 20, ..limits(60) };
    match run::run(&command, folder.path(), limits, false).expect("runs") {
        run::Outcome::Failed(said) => assert!(said.contains("memory"), "{said}"),
        _ => panic!("5 GB were written"),
    }
}

#[test]
fn names_that_git_would_take_for_something_else_are_refused() {
    let url: SourceUrl = "https://git.invalid/app.git".parse().expect("an address");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let remote = Remote::new(&url, folder.path(), limits(1), false);
    for name in [
        "",
        "-q",
        "--upload-pack=x",
        "main~1",
        "main^",
        "a..b",
        "@{u}",
        "a:b",
        "a*",
        "[a",
        "a b",
        "a\n",
        "/a",
        "a/",
    ] {
        let error = remote.tip(name).expect_err(name);
        assert!(matches!(error, RemoteError::Name(_)), "{name}: {error:?}");
    }
}

#[test]
fn what_git_says_becomes_a_named_error() {
    let url: SourceUrl = "https://git.example.com/app.git".parse().expect("an address");
    let remote = Remote::new(&url, Path::new("/"), limits(1), false);
    let id = "1".repeat(40);
    let arguments = [id.clone()];
    let named = |said: &str| {
        let debug = format!("{:?}", remote.failure(said, &arguments));
        debug.split(' ').next().unwrap_or_default().to_owned()
    };
    for (said, name) in [
        ("fatal: remote error: upload-pack: not our ref 11\n", "NoCommit"),
        ("error: Server does not allow request for unadvertised object 11", "NoCommit"),
        (
            "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled",
            "Authentication",
        ),
        (
            "git@x: Permission denied (publickey).\r\nfatal: Could not read from remote repository.",
            "Authentication",
        ),
        ("fatal: Authentication failed for 'https://git.example.com/'", "Authentication"),
        ("No ED25519 host key is known.\nHost key verification failed.\nfatal: Could not read", "Identity"),
        ("fatal: unable to access 'x': SSL certificate problem: self-signed certificate", "Identity"),
        ("fatal: unable to access 'x': Could not resolve host: git.example.com", "Unreachable"),
        ("ssh: connect to host x port 22: Connection refused", "Unreachable"),
        ("fatal: repository 'https://git.example.com/app.git/' not found", "NotFound"),
        ("fatal: '/srv/x' does not appear to be a git repository", "NotFound"),
        (
            "error: object 11: badTree: cannot be parsed as a tree\nfatal: fsck error in packed object",
            "Damaged",
        ),
        ("fatal: something else", "Failed"),
        ("", "Failed"),
    ] {
        assert_eq!(named(said), name, "{said}");
    }
}
