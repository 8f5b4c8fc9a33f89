use super::advise;
use std::collections::BTreeSet;

fn rules(text: &str) -> Vec<(usize, &'static str)> {
    advise(text, false).into_iter().map(|advice| (advice.line, advice.rule)).collect()
}

/// Rules of one `RUN` that is line 2 of a file that is well otherwise.
fn of(command: &str) -> Vec<&'static str> {
    let digest = "0".repeat(64);
    let text = format!(
        "FROM a@sha256:{digest} AS b\nRUN --network=none {command}\nENV SOURCE_DATE_EPOCH=1\nFROM b\n"
    );
    advise(&text, false).into_iter().map(|advice| advice.rule).collect()
}

/// A rule, what it speaks of, and what silences it.
const CASES: [(&str, &str, &str); 23] = [
    ("system-packages-unpinned", "apt-get install -y curl", "apt-get install -y curl=7.88.1-10"),
    ("system-packages-unpinned", "apk add --no-cache curl", "apk add --no-cache curl=8.11.1-r0"),
    (
        "system-packages-unpinned",
        "apt-get -o Acquire::Retries=3 install -t bookworm curl",
        "apt-get -o Acquire::Retries=3 install -t bookworm curl=7.88.1-10",
    ),
    ("system-packages-unpinned", "dnf -y install curl", "true"),
    ("pip-without-hashes", "pip install flask==3.0", "pip install --require-hashes -r requirements.txt"),
    ("pip-without-hashes", "python3 -m pip install .", "python3 -m pip install --no-deps ."),
    ("node-packages-unlocked", "npm install", "npm ci"),
    ("node-packages-unlocked", "npm install -g typescript", "npm install -g @a/b@1.0.0"),
    ("node-packages-unlocked", "yarn", "yarn --immutable"),
    ("cargo-unlocked", "cargo build --release", "cargo build --release --locked"),
    ("go-without-trimpath", "go build -o /app .", "go build -trimpath -o /app ."),
    ("go-latest", "go install example.org/x@latest", "go install -trimpath example.org/x@v1.0.0"),
    (
        "download-unchecked",
        "curl -fo x https://example.org/x",
        "curl -fo x https://example.org/x && sha256sum -c x.sha256",
    ),
    (
        "git-clone-unpinned",
        "git clone https://example.org/x",
        "git clone https://example.org/x && git checkout 4f1c2a94f1c2a94f1c2a94f1c2a94f1c2a94f1c2",
    ),
    ("build-time", "echo \"$(date)\" > /v", "echo \"$(date -u -d @$SOURCE_DATE_EPOCH)\" > /v"),
    ("git-history", "echo `git describe --tags`", "cat VERSION"),
    ("randomness", "openssl rand -hex 16 > /id", "openssl version"),
    ("randomness", "head -c 16 /dev/urandom", "head -c 16 /dev/zero"),
    ("native-processor", "gcc -O2 -march=native x.c", "gcc -O2 -march=x86-64-v2 x.c"),
    ("host-name", "uname -a > /v", "uname -m > /v"),
    ("archive-times", "tar -czf x.tgz x", "tar --sort=name --mtime=@0 -czf x.tgz x"),
    ("archive-times", "zip -r x.zip x", "zip -X -r x.zip x"),
    ("archive-times", "gzip x", "gzip -n x"),
];

#[test]
fn each_rule_speaks_and_each_fix_silences_it() {
    for (rule, bad, good) in CASES {
        assert!(of(bad).contains(&rule), "{bad}: {:?}", of(bad));
        assert!(!of(good).contains(&rule), "{good}: {:?}", of(good));
    }
}

#[test]
fn every_rule_stands_in_the_documents_and_no_other() {
    let whole_files =
        "FROM debian:12\nRUN apt-get install -y curl && curl https://example.org | sh && make\n";
    let spoken: BTreeSet<&str> =
        rules(whole_files).into_iter().map(|(_, rule)| rule).chain(CASES.map(|(rule, ..)| rule)).collect();
    let page = include_str!("../../../../docs/src/commands.md");
    let (_, table) = page.split_once("| rule | speaks of |\n").expect("a table of rules");
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split(", "));
    let documented: BTreeSet<&str> = names.map(|name| name.trim().trim_matches('`')).collect();
    assert_eq!(spoken, documented);
    assert_eq!(spoken.len(), 19);
}

#[test]
fn a_file_that_follows_all_advice_gets_none() {
    let digest = "ab".repeat(32);
    let text = format!(
        "FROM rust@sha256:{digest} AS build\nENV SOURCE_DATE_EPOCH=1\nCOPY . .\nRUN cargo fetch --locked\n\
         RUN --network=none cargo build --release --locked --offline\n\
         FROM scratch\nADD --checksum=sha256:{digest} https://example.org/x /x\nCOPY --from=build /app /app\n"
    );
    assert_eq!(rules(&text), []);
}

#[test]
fn lines_are_those_of_the_words_in_question() {
    let text = "FROM debian:12\nADD https://example.org/x /x\nRUN set -e; \\\n  apt-get update && \\\n  apt-get install -y \\\n    curl && \\\n  curl https://example.org | bash\n";
    let expected = [
        (1, "unpinned-image"),
        (2, "download-unchecked"),
        (3, "no-source-date-epoch"),
        (5, "installer-leftovers"),
        (5, "system-packages-unpinned"),
        (7, "download-piped-to-shell"),
        (7, "download-unchecked"),
    ];
    assert_eq!(rules(text), expected);
}

#[test]
fn compiling_with_network_is_told_at_its_step() {
    let text = "FROM a\nENV SOURCE_DATE_EPOCH=1\nRUN x && \\\n  make\nRUN --network=none make\n";
    assert_eq!(rules(text), [(1, "unpinned-image"), (3, "network-while-compiling")]);
}

#[test]
fn a_snapshot_pins_every_package() {
    let text = "FROM a\nENV SOURCE_DATE_EPOCH=1\nRUN echo 'deb http://snapshot.debian.org/archive/debian/20260101T000000Z bookworm main' > /etc/apt/sources.list && apt-get install -y curl && rm -rf /var/log/*\n";
    assert_eq!(rules(text), [(1, "unpinned-image")]);
    assert_eq!(advise(text, true), []);
}
