//! `caution init --template`, as `docs/src/containerizing.md` teaches it. What it writes builds, with the
//! images of tools/base-images in place of StageX's.

use super::build;
use caution_system_tests::command::{Machine, Ran, finish};
use caution_system_tests::repository::Repository;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const PAGE: &str = include_str!("../../../../docs/src/containerizing.md");

/// The page's blocks of a kind.
fn blocks(kind: &str) -> Vec<&'static str> {
    PAGE.split(&format!("```{kind}\n")).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// `caution init` on a machine that reaches no registry, whatever the network of this one.
fn init(repository: &Repository, args: &[&str]) -> Ran {
    let machine = Machine::new();
    let mut command = machine.command(&repository.root, args);
    finish(&command.env("ALL_PROXY", "http://127.0.0.1:1").output().unwrap()).expect(0)
}

/// The base images of this machine in a new Containerfile.
fn with_local_images(repository: &Repository) {
    let path = repository.root.join("Containerfile");
    let text =
        fs::read_to_string(&path).unwrap().replace("x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu");
    let local = text.lines().map(|line| match line.strip_prefix("FROM stagex/") {
        Some(rest) => {
            let (name, rest) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            format!("FROM localhost/caution/{name}:bookworm{rest}\n")
        }
        None => format!("{line}\n"),
    });
    let local: String = local.collect();
    assert_ne!(local, text, "the template stands on StageX");
    fs::write(path, local).unwrap();
}

#[test]
fn the_commands_of_the_page_containerize_a_rust_program() {
    let repository = Repository::of_example("llm-tokens");
    repository.git(&["rm", "-q", "Containerfile", ".dockerignore", "caution.hcl"]);
    repository.commit("only the program");
    let commands = blocks("sh");
    let [init_line, commit_line, build_line] = commands[0].lines().collect::<Vec<_>>()[..] else {
        panic!("three commands: {commands:?}")
    };

    let words: Vec<_> = init_line.split(' ').skip(1).collect();
    let ran = init(&repository, &words);
    for name in ["Containerfile", ".dockerignore", "caution.hcl"] {
        assert!(ran.stdout.contains(&format!("wrote {name}")), "{}", ran.stdout);
    }
    for image in ["stagex/pallet-rust", "stagex/core-filesystem"] {
        assert!(ran.stderr.contains(&format!("{image} is not pinned")), "{}", ran.stderr);
    }
    with_local_images(&repository);
    let (add, message) = commit_line.split_once(" && git commit -m ").unwrap();
    repository.git(&add.split(' ').skip(1).collect::<Vec<_>>());
    repository.git(&["commit", "-q", "-m", message.trim_matches('"')]);
    assert_eq!(build_line, "caution apps build");
    build(&repository);
    let plan = fs::read_to_string(repository.stage("boot.json")).unwrap();
    assert!(plan.contains("/app/llm-tokens"), "the program's own name: {plan}");

    // Once more: what is there stays, and is named.
    let ran = init(&repository, &words);
    for name in ["Containerfile", ".dockerignore"] {
        assert!(ran.stdout.contains(&format!("{name} exists already")), "{}", ran.stdout);
    }
    assert_eq!(repository.git(&["status", "--porcelain", "--", "Containerfile", ".dockerignore"]), "");
}

#[test]
fn the_python_template_builds() {
    let repository = Repository::of_example("notes");
    repository.git(&["rm", "-q", "Containerfile", ".dockerignore", "Procfile"]);
    repository.git(&["mv", "notes.py", "main.py"]);
    init(&repository, &["init", "--template", "python"]);
    with_local_images(&repository);
    repository.git(&["add", "-A"]);
    repository.git(&["commit", "-q", "-m", "containerize"]);
    build(&repository);
}

#[test]
fn the_static_template_builds_with_the_procfile_of_the_page() {
    let repository = Repository::of_example("hello");
    repository.git(&["rm", "-q", "-r", "."]);
    let [copy, procfile] = blocks("text")[..] else { panic!("a line of a Containerfile, and a Procfile") };
    let program = repository.root.join("myapp");
    fs::write(&program, "#!not run here\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(repository.root.join("data")).unwrap();
    fs::write(repository.root.join("data/empty"), "").unwrap();
    fs::write(repository.root.join("Procfile"), procfile).unwrap();
    let ran = init(&repository, &["init", "--template", "static"]);
    assert!(ran.stdout.contains("a configuration exists already"), "{}", ran.stdout);
    with_local_images(&repository);
    let path = repository.root.join("Containerfile");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("USER ", &format!("{copy}USER "))).unwrap();
    repository.commit("containerize");
    build(&repository);
}
