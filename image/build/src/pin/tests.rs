//! Reading, writing and comparing `Containerfile.eif`.

use super::*;
use crate::testing::Scratch;
use caution_abi::boot_plan::{App, BootPlan, Readiness, Restart, RestartPolicy};
use caution_assemble::Root;

fn pin() -> Pin {
    Pin { id: Sha256Digest::new([3; 32]), pcr1: Pcr::new([7; 48]) }
}

fn arguments(argv: &str) -> Arguments {
    let app = App {
        argv: vec![argv.into()],
        env: std::collections::BTreeMap::new(),
        cwd: "/".into(),
        uid: 0,
        gid: 0,
        groups: vec![0],
    };
    let restart = Restart { policy: RestartPolicy::Never, max_restarts: 0, backoff_ms: 0, backoff_max_ms: 0 };
    let plan = BootPlan {
        version: BootPlan::VERSION,
        app,
        ports: Vec::new(),
        http_port: None,
        egress: Vec::new(),
        e2e: None,
        readiness: Readiness::Started,
        restart,
        logs: false,
    };
    Arguments { root: Root { mode: 0o755, uid: 0, gid: 0 }, plan }
}

fn pinned(text: &str, digests: &[Option<Sha256Digest>]) -> String {
    let source = Source { name: "Containerfile", text, parsed: &parse(text), digests };
    source.containerfile_eif(&pin(), None)
}

fn committed(text: &str) -> Result<Option<Pin>, PinError> {
    let scratch = Scratch::new();
    scratch.write(FILE_NAME, text);
    scratch.commit();
    let repository = Repository::discover(scratch.path())?;
    enclaveos_pin(&repository, &repository.head()?)
}

#[test]
fn every_resolved_base_image_is_pinned_and_the_rest_stays() {
    let other = "0".repeat(64);
    let text = format!(
        "# syntax=x\nARG B=debian:12\nFROM ${{B}} AS build\nFROM rust@sha256:{other}\nCOPY --from=busybox:1 /a /a\n\
         FROM ${{NO}}\n# end"
    );
    let digest = Sha256Digest::new([0xab; 32]);
    let digests = [Some(digest), Some(digest), None, Some(digest)];
    let out = pinned(&text, &digests);
    let hex = "ab".repeat(32);
    assert!(out.starts_with("# syntax=x\n# Written by"), "{out}");
    assert!(
        out.ends_with(&format!(
            "\n\nARG B=debian:12\nFROM debian@sha256:{hex} AS build\nFROM rust@sha256:{other}\n\
             COPY --from=busybox:1 /a /a\nFROM ${{NO}} AS caution-app\n# end"
        )),
        "{out}"
    );
    assert_eq!(committed(&out).expect("reads back"), Some(pin()));
}

#[test]
fn commits_without_the_file_pin_nothing() {
    let scratch = Scratch::new();
    scratch.write("a", "x");
    scratch.commit();
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    let head = repository.head().expect("has a head");
    assert_eq!(enclaveos_pin(&repository, &head).expect("reads"), None);
}

#[test]
fn a_pin_that_cannot_be_read_is_an_error_and_not_an_absent_pin() {
    assert!(matches!(committed("FROM scratch\n"), Err(PinError::Absent { .. })));
    let (id, pcr) = ("0".repeat(64), "0".repeat(96));
    for bad in ["", "x pcr1 00", &id, &format!("{id} pcr2 {pcr}"), &format!("{id} pcr1 {pcr}0")] {
        let result = committed(&format!("\n{PIN_PREFIX}{bad}\n"));
        assert!(matches!(result, Err(PinError::Malformed { line: 2, .. })), "{bad}: {result:?}");
    }
    let line = format!("{PIN_PREFIX}{id} pcr1 {pcr}\n");
    assert!(matches!(committed(&line.repeat(2)), Err(PinError::Twice { line: 2 })));
}

const TEXT: &str =
    "# one\nFROM debian:12 AS a\nRUN make\nFROM scratch\nCOPY --from=a /x /x\nCOPY --from=busybox /y /y\n";

fn digest(byte: u8) -> Sha256Digest {
    Sha256Digest::new([byte; 32])
}

/// What a committed file says about the Containerfile `text`.
fn digests_for(committed: &str, text: &str) -> Result<Vec<Option<Sha256Digest>>, PinError> {
    let committed = Committed::parse(committed.to_owned(), pin())?;
    committed.digests("Containerfile", text, &parse(text))
}

#[test]
fn a_committed_file_gives_its_digests_back_whatever_the_comments_say() {
    let digests = [Some(digest(1)), Some(digest(2))];
    let eif = pinned(TEXT, &digests);
    assert_eq!(digests_for(&eif, TEXT).expect("belongs to it"), digests);
    let recommented = TEXT.replace("# one\n", "\n# two  \n# three\n");
    assert_eq!(digests_for(&eif, &recommented).expect("belongs to it"), digests);
    // Nothing is decided twice where the Containerfile has a digest itself.
    let own = TEXT.replace("debian:12", &format!("debian@sha256:{}", digest(9)));
    let eif = pinned(&own, &[None, Some(digest(2))]);
    assert_eq!(digests_for(&eif, &own).expect("belongs to it"), [None, Some(digest(2))]);
}

#[test]
fn a_committed_file_that_does_not_follow_from_the_containerfile_is_refused_with_both_lines() {
    let digests = [Some(digest(1)), Some(digest(2))];
    let eif = pinned(TEXT, &digests);
    for (from, to) in [
        ("RUN make", "RUN make all"),
        ("debian:12", "alpine:12"),
        ("COPY --from=busybox /y /y\n", ""),
        ("COPY --from=busybox /y /y\n", "COPY --from=busybox /y /y\nUSER 1\n"),
        ("FROM scratch", "FROM busybox"),
    ] {
        let error = digests_for(&eif, &TEXT.replace(from, to)).expect_err("does not belong to it");
        assert!(matches!(&error, PinError::Stale { .. }), "{from}: {error}");
        assert!(error.fix().is_some_and(|fix| fix.starts_with("caution apps pin")));
    }
    let error = digests_for(&eif, &TEXT.replace("RUN make", "RUN make all")).expect_err("is stale");
    let line = 1 + eif.lines().position(|line| line == "RUN make").expect("is there");
    assert_eq!(
        error.to_string(),
        format!(
            "Containerfile.eif:{line}: `RUN make` does not follow from Containerfile of the same commit, which gives `RUN make all`."
        )
    );
}

#[test]
fn comments_that_decide_what_is_built_are_compared() {
    let directives = "# syntax=docker/dockerfile:1\n# escape=`\n";
    let heredoc = "FROM debian:12\nRUN <<EOF\n#!/bin/sh\n\nmake\nEOF\nRUN tail\n# the end\n";
    for (text, from, to, holds) in [
        (TEXT, "# Written", "# syntax=example.org/other\n# Written", false),
        (TEXT, "# one\n", "# syntax=example.org/other\n", true),
        (TEXT, "# Written", "#!/x\n# y=1\n# syntax=example.org/other\n# Written", false),
        (TEXT, "# Written", "# escape=`\n# Written", false),
        (&format!("{directives}{TEXT}"), "", "", true),
        (&format!("{directives}{TEXT}"), directives, "", false),
        (&format!("{directives}{TEXT}"), "dockerfile:1", "dockerfile:2", false),
        (heredoc, "", "", true),
        (heredoc, "# the end\n", "# the end\n\n# really\n", true),
        (heredoc, "#!/bin/sh", "#!/bin/other", false),
        (heredoc, "/sh\n\n", "/sh\n", false),
        (heredoc, "make\n", "make \n", false),
        (TEXT, "RUN make\n", "RUN make\u{a0}\n", false),
    ] {
        let eif = pinned(text, &vec![Some(digest(1)); parse(text).images.len()]);
        let changed = eif.replacen(from, to, 1);
        assert!(from == to || changed != eif, "{from}");
        assert_eq!(digests_for(&changed, text).is_ok(), holds, "{from:?} {to:?}\n{changed}");
    }
}

#[test]
fn an_assembler_without_digest_does_not_hide_what_follows() {
    let text = "FROM debian:12\n";
    let source = Source { name: "Containerfile", text, parsed: &parse(text), digests: &[Some(digest(1))] };
    let eif = source.containerfile_eif(&pin(), Some((&digest(9), &arguments("/app"))));
    digests_for(&eif, text).expect("belongs to it");
    for name in ["caution/enclaveos", "caution/enclaveos:1"] {
        let other = eif.replace(&format!("caution/enclaveos@sha256:{}", digest(9)), name);
        let result = digests_for(&other.replace("/app\\\"", "/other\\\""), text);
        assert!(matches!(result, Err(PinError::Stale { .. })), "{name}: {result:?}");
    }
}

#[test]
fn a_last_line_that_goes_on_does_not_swallow_the_assembly() {
    for text in
        ["FROM scratch\nENV A=b \\\n", "FROM scratch\nENV A=b \\", "# escape=`\nFROM scratch\nENV A=b ` \n\n"]
    {
        let source = Source { name: "Containerfile", text, parsed: &parse(text), digests: &[] };
        let eif = source.containerfile_eif(&pin(), Some((&digest(9), &arguments("/app"))));
        assert!(eif.contains("\nENV A=b \n"), "{eif}");
        assert_eq!(digests_for(&eif, text).expect("belongs to it"), []);
    }
    let whole = "FROM scratch\nCMD echo \\\\\n";
    assert!(pinned(whole, &[]).ends_with("\nCMD echo \\\\\n"));
}

#[test]
fn a_pinned_digest_that_is_none_is_named() {
    let line = format!("{PIN_PREFIX}{} pcr1 {}\n", "0".repeat(64), "0".repeat(96));
    let error = committed(&format!("{line}FROM debian@sha256:{}\n", "5".repeat(63))).expect_err("is short");
    assert!(
        error.to_string().contains("Containerfile.eif:2: ") && error.to_string().contains("63"),
        "{error}"
    );
}

#[test]
fn what_moved_is_told_image_by_image() {
    let eif = |text: &str, digests: &[Option<Sha256Digest>]| {
        Committed::parse(pinned(text, digests), pin()).expect("is one")
    };
    let before = eif(TEXT, &[Some(digest(1)), Some(digest(2))]);
    let text = TEXT.replace("busybox", "alpine");
    let after = eif(&text, &[Some(digest(3)), Some(digest(2))]);
    let moved = |before| Moved::between(before, &after.text, pin());
    let shown = |digest: Option<u8>| digest.map(|byte| format!("sha256:{}", self::digest(byte)));
    let of =
        |image: &str, before, after| Move { image: image.into(), before: shown(before), after: shown(after) };
    let changed = moved(Some(&before));
    assert_eq!(
        changed.images,
        [of("alpine", None, Some(2)), of("busybox", Some(2), None), of("debian", Some(1), Some(3))]
    );
    assert!(changed.file_changed && changed.release_before == Some(pin()));
    assert!(!moved(Some(&after)).file_changed);
    assert_eq!(moved(None).images, [of("alpine", None, Some(2)), of("debian", None, Some(3))]);
}

#[test]
fn the_assembly_belongs_to_one_boot_plan_and_to_any_assembler() {
    let digests = [Some(digest(1)), Some(digest(2))];
    for (text, stage) in
        [(TEXT.to_owned(), "caution-app"), (TEXT.replace("FROM scratch", "FROM scratch as Last"), "Last")]
    {
        let parsed = parse(&text);
        let source = Source { name: "Containerfile", text: &text, parsed: &parsed, digests: &digests };
        let eif = source.containerfile_eif(&pin(), Some((&digest(9), &arguments("/app"))));
        assert!(eif.contains(&format!("RUN --mount=type=bind,from={stage},source=/,target=/app [")), "{eif}");
        let committed = Committed::parse(eif.clone(), pin()).expect("is one");
        assert_eq!(committed.digests("Containerfile", &text, &parsed).expect("belongs to it"), digests);
        assert_eq!(committed.assembler, Some(digest(9)));
        committed.check_assembly(source, Some(&arguments("/app"))).expect("has this plan");
        let error =
            committed.check_assembly(source, Some(&arguments("/other"))).expect_err("has another plan");
        let line = 1 + eif.lines().position(|line| line.contains("--boot=")).expect("is there");
        assert!(error.to_string().starts_with(&format!("Containerfile.eif:{line}: `")), "{error}");
        assert!(error.to_string().contains("does not follow from the configuration"), "{error}");
        // `binary` takes a part of the image, which no assembler does.
        assert!(matches!(committed.check_assembly(source, None), Err(PinError::Stale { .. })));
    }
}
