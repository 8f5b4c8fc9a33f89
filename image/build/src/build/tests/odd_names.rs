//! Containerfiles whose names mean something to an engine.

use super::*;

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
