//! Names that mean something to an engine, or that it cannot take.

use super::*;
use std::os::unix::ffi::OsStrExt as _;

/// Engines take `-` for their standard input.
#[test]
fn a_containerfile_may_be_called_like_standard_input() {
    let scratch = app();
    scratch.git(&["mv", "Containerfile", "-"]);
    scratch.write("Procfile", "run: /app/server\nports: 8080\ncontainerfile: -\n");
    scratch.commit();
    build_quietly(&scratch).expect("builds");
}

/// buildah would hand it to the C preprocessor, which takes comments for its own: `blue` would become red, and
/// `#include` would bring in any file of the machine that builds.
#[test]
fn no_engine_preprocesses_a_containerfile() {
    let scratch = app();
    let text = fs::read_to_string(scratch.path().join("Containerfile")).expect("is there");
    scratch.write("Containerfile.in", &format!("#define blue red\n{text}"));
    scratch.write(
        "Procfile",
        "run: /app/server\ncontainerfile: Containerfile.in\napp_sources: https://git.example.org/a.git\n",
    );
    scratch.commit();
    let built = build_quietly(&scratch).expect("builds");
    assert_eq!(built.boot_plan.app.env.get("COLOUR").map(String::as_str), Some("blue"));
}

#[test]
fn a_containerfile_whose_name_looks_like_a_list_is_one_file() {
    let scratch = app();
    scratch.git(&["mv", "Containerfile", "Container,\"file\""]);
    scratch.write("Procfile", "run: /app/server\nports: 8080\ncontainerfile: Container,\"file\"\n");
    scratch.commit();
    build_quietly(&scratch).expect("builds");
}

#[test]
fn a_folder_that_engines_cannot_name_is_refused() {
    let scratch = app();
    let output = scratch.path().join(std::ffi::OsStr::from_bytes(b"d\xff")).join("eif-stage");
    let release = release(&scratch.outside("release"), KERNEL);
    let error =
        run_into(&output, scratch.path(), &release, &With::default(), &|_| {}).expect_err("is no UTF-8");
    assert!(matches!(&error, BuildError::FolderName(path) if *path == output), "{error}");
}
