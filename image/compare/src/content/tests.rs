use super::compare;
use crate::cause::Cause;
use proptest::prelude::*;
use std::io::Write as _;

fn causes(path: &str, left: &[u8], right: &[u8]) -> Vec<Cause> {
    compare(path.as_bytes(), left, right).attributions.into_iter().map(|found| found.cause).collect()
}

#[test]
fn private_keys_and_passwords_are_never_shown() {
    let key = |body: &str| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let told = compare(b"k", key("AAAAsecretAAAA==").as_bytes(), key("BBBBsecretBBBB==").as_bytes());
    assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
    assert_eq!(told.attributions[0].cause, Cause::Randomness);
    let told = compare(b"etc/shadow", b"a:$6$salt$one:19000:0\n", b"a:$6$salt$two:19001:0\n");
    assert!(!serde_json::to_string(&told).unwrap().contains("salt$"));
}

/// In JSON a key is a part of a line, in YAML it is indented; hashes stand in any file.
#[test]
fn secrets_inside_other_files_are_not_shown_either() {
    let shown = |path: &str, text: &str| {
        let (left, right) = (text.replace('%', "1SECRET1aaaa"), text.replace('%', "2SECRET2bbbb"));
        let told = compare(path.as_bytes(), left.as_bytes(), right.as_bytes());
        assert!(!told.changes.is_empty(), "{path}");
        let json = serde_json::to_string(&told).unwrap();
        assert!(!json.contains("SECRET"), "{path}: {json}");
    };
    shown("a.json", r#"{"private_key": "-----BEGIN PRIVATE KEY-----\n%\n-----END PRIVATE KEY-----\n"}"#);
    shown("a.yaml", "key: |\n  -----BEGIN EC PRIVATE KEY-----\n  %\n  -----END EC PRIVATE KEY-----\n");
    shown("a.env", "KEY=\"-----BEGIN PRIVATE KEY-----\n%\n");
    shown("a.env", "-----BEGIN PRIVATE KEY\n%\n-----END PRIVATE KEY-----\n");
    shown("kubeconfig", "client-key-data: LS0tLS1CRUdJTiBQ%\n");
    shown("srv/rootfs/etc/shadow", "a:%/%:19000:0:::::\n");
    shown("srv/.htpasswd", "password a:$apr1$0123abcd$%%\n");
    shown("users.json", r#"{"password": "$2b$12$0123456789%%"}"#);
    shown("srv/bin", "\0\0password: $6$0123abcd$%%\0\0");
}

/// Pairs of which people wrote both sides, whatever they look like.
#[test]
fn what_people_write_has_no_cause() {
    let public = |body: &str| format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let cases: [(&str, &str, &str); 18] = [
        ("app/config.json", r#"{"db": {"hostname": "db1"}}"#, r#"{"db": {"hostname": "db2"}}"#),
        ("app/config.json", r#"{"threads": 4, "uid": 33}"#, r#"{"threads": 8, "uid": 82}"#),
        ("app/config.json", r#"{"timezone": "UTC"}"#, r#"{"timezone": "CET"}"#),
        ("app/config.json", r#"{"locale": "en_US"}"#, r#"{"locale": "de_DE"}"#),
        ("app/config.json", r#"{"machine": "web-1"}"#, r#"{"machine": "web-2"}"#),
        ("app/config.json", r#"{"apiKey": "a1b2c3d4e5f6g7"}"#, r#"{"apiKey": "z9y8x7w6v5u4t3"}"#),
        ("app/config.json", r#"{"data": "/home/a/data"}"#, r#"{"data": "/home/b/data"}"#),
        ("railway.json", r#"{"build": {"builder": "NIX"}}"#, r#"{"build": {"builder": "OCI"}}"#),
        ("app/start.sh", "python /app/main.py", "python /srv/main.py"),
        ("app/compose.yaml", "workdir: /home/app/data", "workdir: /home/web/data"),
        ("app/notes.txt", "include /opt/v1/site.conf", "include /opt/v2/site.conf"),
        ("app/main.py", "sleep(1.5)", "sleep(1,5)"),
        ("db/schema.rb", "define(version: 20240115093015)", "define(version: 20240302101112)"),
        ("etc/ssh/sshd_config", "Ciphers a, b, c", "Ciphers c, b, a"),
        ("etc/shells", "/bin/sh\n/bin/zsh\n/bin/ash", "/bin/zsh\n/bin/ash\n/bin/sh"),
        (
            "var/lib/apt/lists/x_Release",
            "Date: Sat, 06 Jan 2024 10:21:13 UTC",
            "Date: Sun, 07 Jan 2024 11:24:19 UTC",
        ),
        ("app/partner.pem", &public("QUFB"), &public("QkJC")),
        ("etc/site/host.conf", "hostname = a", "hostname = b"),
    ];
    for (path, left, right) in cases {
        let told = compare(path.as_bytes(), left.as_bytes(), right.as_bytes());
        assert!(told.attributions.is_empty() && !told.complete, "{path}: {told:?}");
    }
}

#[test]
fn reports_of_builds_say_what_they_say() {
    let report = |host: &str| format!(r#"{{"buildTime": "2026-11-20T08:01:59Z", "hostname": "{host}"}}"#);
    assert_eq!(causes("a.json", report("vm-1").as_bytes(), report("vm-2").as_bytes()), [Cause::HostName]);
}

#[test]
fn other_line_ends_are_not_explained_by_a_date() {
    let left = b"a 2026-11-20 08:01:59\nb\nc\n";
    let told = compare(b"a.txt", left, b"a 2026-11-21 18:21:12\nb\r\nc\n");
    assert_eq!(told.attributions.len(), 1);
    assert!(!told.complete, "{told:?}");
}

#[test]
fn json_names_causes_as_documents_do() {
    let told = compare(b"etc/hostname", b"one\n", b"two\n");
    let json = serde_json::to_value(told).unwrap();
    assert_eq!(json["attributions"][0]["cause"], "host-name");
    assert_eq!(json["attributions"][0]["evidence"], "one → two");
    assert_eq!(json["complete"], true);
}

#[test]
fn archives_in_archives_end_where_nobody_looks_on() {
    let wrap = |mut content: Vec<u8>| {
        for _ in 0..50 {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&content).unwrap();
            content = gzip.finish().unwrap();
        }
        content
    };
    let told = compare(b"a.gz", &wrap(b"one".to_vec()), &wrap(b"two".to_vec()));
    assert!(!told.complete);
    assert!(told.attributions.is_empty());
    assert!(told.changes[0].what.contains("deeper than is looked"), "{told:?}");
}

#[test]
fn what_unfolds_without_end_is_not_unfolded() {
    let bomb = |byte: u8| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let block = vec![byte; 1 << 20];
        (0..200).for_each(|_| gzip.write_all(&block).unwrap());
        gzip.finish().unwrap()
    };
    let told = compare(b"a.gz", &bomb(0), &bomb(1));
    assert!(told.changes[0].what.contains("too large to look at"), "{told:?}");
}

#[test]
fn many_changes_are_counted_not_listed() {
    let lines = |word: &str| (0..1000).map(|n| format!("{word} {n}\nsame {n}\n")).collect::<String>();
    let told = compare(b"a.txt", lines("one").as_bytes(), lines("two").as_bytes());
    assert_eq!((told.changes.len(), told.more_changes), (40, 960));
}

#[test]
fn terminals_are_safe_from_contents() {
    let told = compare(b"a.txt", b"\x1b[2Jone\n", "\u{202e}t\u{200b}wo\n".as_bytes());
    assert_eq!(told.changes[0].what, "-\\u{1b}[2Jone\n+\\u{202e}t\\u{200b}wo");
}

#[test]
fn a_kernel_says_its_version_and_no_cause() {
    let kernel = |version: &str| {
        let mut image = vec![0; 0x800];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x500..0x500 + version.len()].copy_from_slice(version.as_bytes());
        image
    };
    let told = compare(b"boot/vmlinuz", &kernel("6.1.0-18-amd64 #1"), &kernel("6.1.0-21-amd64 #1"));
    assert_eq!((told.changes[0].place.as_str(), told.kind.as_str()), ("version", "Linux kernel image"));
    assert_eq!(told.changes[0].what, "6.1.0-18-amd64 #1 → 6.1.0-21-amd64 #1");
    assert!(told.attributions.is_empty() && !told.complete, "{told:?}");
    // A header that points behind the end.
    let short = &kernel("6.1.0-18-amd64 #1")[..0x400];
    assert!(!compare(b"boot/vmlinuz", short, &kernel("6.1.0-21-amd64 #1")).complete);
}

#[test]
fn a_file_that_became_another_kind_says_so() {
    let told = compare(b"a", b"text\n", b"\x7fELF\x02\x01\x01");
    assert_eq!(told.kind, "ELF file or text");
    assert!(told.attributions.is_empty() && !told.complete);
}

#[test]
fn a_long_list_of_unlike_lines_takes_no_time() {
    let lines = |seed: u64| {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        (0..100_000).map(|_| format!("{}\n", next() % 50_000)).collect::<String>()
    };
    assert!(causes("a.txt", lines(1).as_bytes(), lines(2).as_bytes()).is_empty());
}

/// Each is made so that a careless reader would look at the same bytes again and again.
#[test]
fn contents_made_to_take_long_do_not() {
    let slashes = |last: &str| format!("{}{last}\n", "/ /// 1 a".repeat(1500)).repeat(100);
    assert!(causes("a.txt", slashes("x").as_bytes(), slashes("y").as_bytes()).is_empty());

    // Every member of this archive is the same megabyte.
    let overlapping = |byte: u8| {
        let content = vec![byte; 1 << 20];
        let mut archive = [&b"PK\x03\x04"[..], &[0; 26], &content].concat();
        let start = u32::try_from(archive.len()).unwrap();
        for index in 0..1000_u16 {
            let size = (1_u32 << 20).to_le_bytes();
            archive.extend(
                [&b"PK\x01\x02"[..], &[0; 16], &size, &size, &[2, 0], &[0; 16], &index.to_be_bytes()]
                    .concat(),
            );
        }
        archive.extend(
            [&b"PK\x05\x06"[..], &[0; 6], &1000_u16.to_le_bytes(), &[0; 4], &start.to_le_bytes(), &[0; 2]]
                .concat(),
        );
        archive
    };
    let told = compare(b"a.zip", &overlapping(1), &overlapping(2));
    assert!(told.changes[0].what.contains("overlap"), "{told:?}");

    let vain =
        |byte: u8| [&b"\xcb\r\r\n"[..], &[0; 12], &b"a\x61\x61\x01\x00".repeat(20_000), &[byte]].concat();
    assert!(causes("a.pyc", &vain(1), &vain(2)).is_empty());
}

/// Found by fuzzing: which side is damaged made a difference.
#[test]
fn half_a_pair_of_keys_shows_nothing() {
    let (key, damaged) = (b"ssh-ed25519 AAAA root@vm-7f3a\n", b"ssi-ed25519 BBBB root@builder02\n");
    for (left, right) in [(&key[..], &damaged[..]), (&key[..], &b"-----"[..])] {
        assert!(causes("etc/ssh/ssh_host_ed25519_key.pub", left, right).is_empty());
        assert!(causes("etc/ssh/ssh_host_ed25519_key.pub", right, left).is_empty());
    }
}

proptest! {
    #[test]
    fn any_two_contents_are_compared_and_mirrored(
        path in "(etc/shadow|a\\.pyc|a\\.py|a\\.gz|var/cache/ldconfig/aux-cache|a|etc/os-release|var/lib/dpkg/status)",
        magic in prop::sample::select(vec![
            &b""[..], b"\x7fELF\x02\x01\x01", b"PK\x03\x04", b"\x1f\x8b\x08\x08", b"!<arch>\n", b"{", b"070701",
            b"-----BEGIN X-----", b"glibc-ld.so.auxcache-1.0\x01\0\0\0", b"\xcb\r\r\n\0\0\0\0", b"\xca\xfe\xba\xbe",
        ]),
        left in prop::collection::vec(any::<u8>(), 0..400),
        right in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let (left, right) = ([magic, &left].concat(), [magic, &right].concat());
        let there = compare(path.as_bytes(), &left, &right);
        prop_assert_eq!(there.attributions.len(), causes(&path, &right, &left).len());
        prop_assert_eq!(there.changes.is_empty(), left == right);
    }

    #[test]
    fn any_two_texts_are_compared_and_mirrored(
        left in "([ a-c/@:{}',0-9T-]|2026-11-2[0-9] 08:01:5[0-9]|/tmp/[ab]/x\\.c|\n){0,60}",
        right in "([ a-c/@:{}',0-9T-]|2026-11-2[0-9] 08:01:5[0-9]|/tmp/[ab]/x\\.c|\n){0,60}",
    ) {
        prop_assert_eq!(
            causes("a.txt", left.as_bytes(), right.as_bytes()),
            causes("a.txt", right.as_bytes(), left.as_bytes())
        );
    }
}
