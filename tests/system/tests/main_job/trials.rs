//! `caution apps check --rebuild`: two builds in surroundings that differ in what should not matter.

use super::{HELLO, shell};
use caution_system_tests::command::Machine;
use caution_system_tests::repository::Repository;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What the command says, which ends with `code`.
fn rebuild(repository: &Repository, code: i32) -> Value {
    let args = ["apps", "check", "--rebuild", "--engine", "buildah", "--json"];
    Machine::new().caution(&repository.root, &args).expect(code).json()
}

fn names<'a>(answer: &'a Value, list: &str) -> Vec<&'a str> {
    answer["rebuild"][list].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect()
}

#[test]
fn an_honest_build_is_the_same_in_other_surroundings() {
    assert!(
        Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1").is_file(),
        "libfaketime plays the other clock: apt-get install libfaketime"
    );
    let answer = rebuild(&HELLO.repository, 0);
    assert_eq!(
        (&answer["commit"], &answer["rebuild"]["same"]),
        (&HELLO.repository.head().into(), &true.into())
    );
    let varied = names(&answer, "varied");
    for what in ["build folder", "clock", "host name", "locale, time zone"] {
        assert!(varied.contains(&what), "{what}: {answer}");
    }
    // A machine may have one processor only.
    let mut not_varied = names(&answer, "not_varied");
    not_varied.retain(|what| *what != "processors");
    assert_eq!(not_varied, ["umask", "user", "order of folders"], "{answer}");
}

/// A C program with the time inside, which nothing else of the machine decides, and a `date`.
#[test]
fn a_build_that_embeds_the_time_is_named_with_its_files() {
    let repository = HELLO.repository.clone_of();
    let write = |name: &str, text: &str| fs::write(repository.root.join(name), text).unwrap();
    write("main.c", "const char time[] = __DATE__;\nint main(void) { return time[0] == 0; }\n");
    // What programs with another clock leave in memory does not stay in that of this machine.
    let shared = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let containerfile = "FROM localhost/caution/pallet-rust:bookworm AS build\n\
         COPY main.c /\n\
         RUN --network=none test ! -e SHARED && gcc -O2 -static -o /main /main.c && date >/built-at\n\
         FROM localhost/caution/core-filesystem:bookworm\n\
         COPY --from=build /main /built-at /app/\n\
         USER 1000:1000\n";
    write("Containerfile", &containerfile.replace("SHARED", &shared.path().to_string_lossy()));
    write("Procfile", "run: /app/main\n");
    repository.commit("a build that embeds the time");

    let answer = rebuild(&repository, 1);
    assert_eq!(answer["rebuild"]["same"], false);
    let differences = answer["rebuild"]["comparison"]["differences"].as_array().unwrap();
    let mut told: Vec<_> = differences
        .iter()
        .map(|one| {
            (one["path"].as_str().unwrap(), one["attributions"][0]["cause"].as_str().unwrap_or("unknown"))
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("/app/built-at", "embedded-time"), ("/app/main", "embedded-time")], "{answer}");

    // A certificate that expires, say.
    let tomorrow = shell(&repository.root, "date -d tomorrow +%s");
    let check = format!("RUN --network=none test $(date +%s) -lt {}", tomorrow.trim());
    repository.edit("Containerfile", "RUN --network=none", &format!("{check}\nRUN --network=none"));
    let answer = rebuild(&repository, 2);
    assert!(answer["error"].to_string().contains("the first build did not fail"), "{answer}");

    // Without an engine's steps there is nothing to build twice.
    write("Procfile", "run: /app/main\noci_tarball: image.tar\n");
    repository.commit("a finished image");
    let answer = rebuild(&repository, 2);
    assert!(answer["error"]["message"].as_str().unwrap().contains("finished image"), "{answer}");
}
