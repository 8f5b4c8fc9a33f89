//! What is read out of Containerfiles.

use super::*;

fn references(text: &str) -> Vec<(usize, Option<String>)> {
    parse(text).images.into_iter().map(|image| (image.line, image.reference)).collect()
}

fn some(line: usize, name: &str) -> (usize, Option<String>) {
    (line, Some(name.to_owned()))
}

#[test]
fn images_from_outside_are_found_and_stages_are_not() {
    let text = "\
# syntax=docker/dockerfile:1
# a comment
ARG RUST=rust:1 \\
    # inside
    TAG=12
arg BASE=\"debian:${TAG}\"
FROM --platform=linux/amd64 ${RUST} AS Build
RUN echo FROM x
FROM $BASE
COPY --from=build /a /a
COPY --chown=1 --from=0 /a /a
COPY --from=busybox:1 /b /b
RUN --mount=type=bind,source=/x,from=alpine:3 --mount=from=build,target=/y --mount=type=tmpfs,target=/z true
FROM scratch
FROM build AS again
FROM ${UNKNOWN}
FROM ${UNKNOWN:-alpine}
";
    let found = parse(text);
    assert_eq!(found.stages, 6);
    assert_eq!(found.heredoc, None);
    assert!(text[found.after_directives..].starts_with("# a comment"));
    let expected = [
        some(7, "rust:1"),
        some(9, "debian:12"),
        some(12, "busybox:1"),
        some(13, "alpine:3"),
        (16, None),
        some(17, "alpine"),
    ];
    assert_eq!(references(text), expected);
    let written: Vec<_> = found.images.iter().map(|image| &text[image.span.clone()]).collect();
    assert_eq!(written, ["${RUST}", "$BASE", "busybox:1", "alpine:3", "${UNKNOWN}", "${UNKNOWN:-alpine}"]);
}

#[test]
fn heredoc_bodies_are_not_instructions() {
    let text = "FROM a\nRUN <<-EOF cat <<'TWO'\n\tFROM inside\n\tEOF\nFROM inside\nTWO\nFROM b\n";
    let found = parse(text);
    assert_eq!(found.heredoc, Some(2));
    assert_eq!(references(text), [some(1, "a"), some(7, "b")]);
    assert_eq!(parse("FROM a\nRUN cat << EOF\nRUN echo $((1<<2))\n").heredoc, None);
}

#[test]
fn network_flags_of_run_are_found() {
    let text = "FROM a\nRUN --mount=type=tmpfs --network=none make\nRUN echo --network=none\nRUN \\\n --network=host x\n";
    let runs = parse(text).runs;
    assert_eq!(runs.iter().map(Run::is_offline).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(runs[0].network.as_ref().map(|(_, span)| &text[span.clone()]), Some("--network=none"));
    assert_eq!(runs[2].network.as_ref().map(|(mode, _)| mode.as_str()), Some("host"));
    assert_eq!((runs[1].line, runs[2].line), (3, 4));
}

#[test]
fn the_escape_directive_is_honoured() {
    assert_eq!(references("# escape=`\nFROM `\n  a\n"), [some(3, "a")]);
}

#[test]
fn directives_are_found_where_buildkit_finds_them() {
    for (text, frontend) in [
        ("# syntax=a\n", Some("a")),
        ("#SYNTAX = a/b:1 \r\n", Some("a/b:1")),
        ("#!/bin/x\n# syntax=a\n", Some("a")),
        ("# other=1\n# syntax=a\n", Some("a")),
        ("# a comment with=\n# syntax=a\n", None),
        ("\n# syntax=a\n", None),
        ("# other=1\n#!/bin/x\n# syntax=a\n", None),
    ] {
        let found = parse(text).frontend;
        assert_eq!(found.as_ref().map(|image| image.written.as_str()), frontend, "{text}");
        assert!(found.is_none_or(|image| text[image.span.clone()] == image.written), "{text}");
    }
}

#[test]
fn names_split_into_repository_and_digest() {
    for (reference, repository, digest) in [
        ("debian", "debian", None),
        ("localhost:5000/a/b:1", "localhost:5000/a/b", None),
        ("a/b:1@sha256:00ff", "a/b", Some("sha256:00ff")),
    ] {
        let found = parse(&format!("FROM {reference}\n"));
        assert_eq!(found.images[0].repository(), Some(repository));
        assert_eq!(found.images[0].digest(), digest);
    }
}

#[test]
fn odd_texts_are_left_to_the_engine() {
    for text in
        ["", "\n\n", "FROM", "FROM \\", "ARG", "COPY --from= /a /b", "RUN <<EOF", "FROM ${", "\u{feff}FROM é"]
    {
        parse(text);
    }
}

#[test]
fn what_is_wrong_with_a_digest_is_said() {
    let fault = |digest: &str| parse(&format!("FROM a@{digest}\n")).images[0].digest_fault();
    let hex = "0123456789abcdef".repeat(4);
    assert_eq!(fault(&format!("sha256:{hex}")), None);
    assert_eq!(parse("FROM a:1\n").images[0].digest_fault(), None);
    assert_eq!(fault(&format!("sha256:{}", &hex[1..])), Some(DigestFault::Length(63)));
    assert_eq!(fault(&format!("sha256:{}G", &hex[1..])), Some(DigestFault::Character('G')));
    assert_eq!(fault(&hex), Some(DigestFault::Algorithm));
    assert_eq!(fault(""), Some(DigestFault::Algorithm));
}
