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

/// Two steps, of which one is not the same twice; the image that is compared has nothing beside it.
#[test]
fn the_line_that_wrote_a_file_is_named() {
    let repository = HELLO.repository.clone_of();
    let write = |name: &str, text: &str| fs::write(repository.root.join(name), text).unwrap();
    let moment = "RUN --network=none python3 -c \"import time; print(time.ctime())\" >/built-at";
    write(
        "Containerfile",
        &format!(
            "FROM localhost/caution/pallet-python:bookworm\nRUN --network=none echo constant \\\n  >/constant\n{moment}\n"
        ),
    );
    write("Procfile", "run: /usr/bin/python3 -c 1\n");
    repository.commit("two steps");
    let machine = Machine::new();
    let build = ["apps", "build", "--engine", "buildah"];
    machine.caution(&repository.root, &build).expect(0);
    let folder = tempfile::tempdir().unwrap();
    let deployed = folder.path().join("deployed.eif");
    fs::copy(repository.stage("output/enclave.eif"), &deployed).unwrap();

    let diff =
        ["apps", "diff", "commit:HEAD", deployed.to_str().unwrap(), "--engine", "buildah", "--no-cache"];
    let ran = machine.caution(&repository.root, &diff).expect(1);
    assert!(ran.stdout.contains(&format!("written by: Containerfile:4 {moment}\n")), "{}", ran.stdout);
    let diff = [&diff[..6], &["--json"]].concat();
    let answer = machine.caution(&repository.root, &diff).expect(1).json();
    let differences = answer["comparison"]["differences"].as_array().unwrap();
    let paths: Vec<&Value> = differences.iter().map(|one| &one["path"]).collect();
    assert_eq!(paths, ["/built-at"], "{answer}");
    let expected = serde_json::json!({
        "layer": 3, "instruction": moment, "containerfile": "Containerfile", "line": 4, "base_image": false,
    });
    assert_eq!(differences[0]["left"]["written_by"], expected);
    assert_eq!(differences[0]["right"]["written_by"], Value::Null);
}
