//! Which entry of a history means which line.

use super::*;
use crate::containerfile::parse;

/// A history from texts; what begins with `-` left no layer.
fn history(entries: &[&str]) -> Vec<oci::Step> {
    let entry = |text: &&str| oci::Step {
        created_by: text.strip_prefix('-').unwrap_or(text).to_owned(),
        empty_layer: text.starts_with('-'),
    };
    entries.iter().map(entry).collect()
}

/// For each entry its line; 0 where none is named, negative for a line of the base image.
fn lines(containerfile: &str, entries: &[&str]) -> Vec<i64> {
    let parsed = parse(containerfile);
    let lines = Lines::of(&history(entries), &parsed);
    let line = |index: usize| match lines.of_entry(index) {
        None => 0,
        Some((line, written, base)) => {
            let line = i64::try_from(line).unwrap();
            assert_eq!(base, written.starts_with("FROM"));
            if base { -line } else { line }
        }
    };
    (0..entries.len()).map(line).collect()
}

const FILE: &str = "\
ARG BASE=a:1
FROM ${BASE} AS one
RUN make
FROM a:1
ARG V=1
COPY --chown=1:1 a.txt \\
  /a
COPY --from=one /x /y
RUN echo \"hi   there\" >/one \\
  # a comment
  && date >/two
RUN --mount=type=cache,target=/c make
WORKDIR /w
CMD [\"/x\"]
";

/// As buildah 1.28 writes it.
#[test]
fn what_buildah_writes_down_is_understood() {
    let entries = [
        "/bin/sh",
        "-/bin/sh -c #(nop) ARG V",
        "/bin/sh -c #(nop) COPY file:ce45aed374932718b95abedf4266ad5d720141b60545c480a9cd1282184fb142 in /a ",
        "/bin/sh -c #(nop) COPY file:0cac4ca23f26e9e2d902d07de9da7807378d0f6749f38012ce67d523f4a81202 in /y ",
        "|1 V=1 /bin/sh -c echo \"hi   there\" >/one   && date >/two",
        "|1 V=1 /bin/sh -c --mount=type=cache,target=/c make",
        "-/bin/sh -c #(nop) WORKDIR /w",
        "-/bin/sh -c #(nop) CMD [\"/x\"]",
    ];
    assert_eq!(lines(FILE, &entries), [-4, -4, 6, 8, 9, 12, 13, 0]);
}

/// As BuildKit 0.21 of docker 26.1 writes it.
#[test]
fn what_buildkit_writes_down_is_understood() {
    let entries = [
        "-ARG V=1",
        "COPY --chown=1:1 a.txt /a # buildkit",
        "COPY /x /y # buildkit",
        "RUN |1 V=1 /bin/sh -c echo \"hi   there\" >/one   && date >/two # buildkit",
        "RUN |1 V=1 /bin/sh -c make # buildkit",
        "WORKDIR /w",
        "-CMD [\"/x\"]",
    ];
    assert_eq!(lines(FILE, &entries), [-4, 6, 8, 9, 12, 13, 0]);
    // In its own form, with variables put in, with another shell: what cannot be told.
    let text = "FROM a\nRUN [\"/x\", \"y\"]\nCOPY a ${D}/a\nRUN x\nWORKDIR sub\n";
    let entries = [
        "RUN |1 V=1 /x y # buildkit",
        "COPY a /d/a # buildkit",
        "RUN /bin/sh -ec x # buildkit",
        "WORKDIR /w/sub",
    ];
    assert_eq!(lines(text, &entries), [0, 0, 0, 0]);
    assert_eq!(lines("FROM a\nCOPY --chown=1 a b /c/\n", &["COPY a b /c/ # buildkit"]), [2]);
}

#[test]
fn words_that_several_instructions_say_mean_them_in_order() {
    let twice = "FROM a\nRUN make\nCOPY a /a/\nCOPY b /a/\nRUN make\n";
    let copies = ["/bin/sh -c #(nop) COPY file:1 in /a/ ", "/bin/sh -c #(nop) COPY file:2 in /a/ "];
    let make = "/bin/sh -c make";
    assert_eq!(lines(twice, &["base", make, copies[0], copies[1], make]), [-1, 2, 3, 4, 5]);
    // One too many: of the base image, which cannot be told apart.
    assert_eq!(lines(twice, &[make, make, copies[0], copies[1], make]), [0, 0, 3, 4, 0]);
    // One too few: an engine that left one out.
    assert_eq!(lines(twice, &[copies[0], copies[1], make]), [3, 4, 0]);
}

#[test]
fn a_stage_that_goes_on_from_another_has_its_instructions_too() {
    let text = "FROM a AS one\nRUN one\nFROM b AS other\nRUN other\nFROM One\nRUN two\n";
    assert_eq!(lines(text, &["base", "/bin/sh -c one", "/bin/sh -c two"]), [-1, 2, 6]);
}

#[test]
fn nothing_is_guessed() {
    let text = "FROM a\nRUN one\nRUN two\n";
    for (entries, expected) in [
        // Another shell, other words, another order, a step of another stage.
        (&["/bin/bash -c one", "/bin/sh -c two"][..], &[0, 3][..]),
        (&["/bin/sh -c one ", "/bin/sh -c two three"], &[2, 0]),
        (&["/bin/sh -c two", "/bin/sh -c one"], &[0, 0]),
        (&["RUN one", "# buildkit", ""], &[0, 0, 0]),
        (&["x /bin/sh -c one"], &[0]),
        (&[], &[]),
    ] {
        assert_eq!(lines(text, entries), expected, "{entries:?}");
    }
    assert_eq!(lines("FROM a AS x\nRUN x\nFROM b\nRUN y\n", &["/bin/sh -c x", "/bin/sh -c y"]), [-3, 4]);
    for odd in
        ["", "RUN x\n", "FROM", "FROM x", "FROM x AS x\nFROM x\nRUN", "FROM a\nRUN\nCOPY\nADD --x\nWORKDIR"]
    {
        lines(
            odd,
            &["/bin/sh -c", "/bin/sh -c #(nop) COPY", "RUN # buildkit", "# buildkit", "|", "| /bin/sh -c"],
        );
    }
}
