//! A throw-away git repository for tests.

use crate::git::CommitId;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    repository: PathBuf,
}

impl Scratch {
    /// An empty repository on branch `main`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repository = folder.path().join("repo");
        let scratch = Self { folder, repository };
        std::fs::create_dir(scratch.path()).expect("mkdir");
        scratch.git(&["init", "-q", "-b", "main"]);
        scratch
    }

    /// The work tree.
    pub(crate) fn path(&self) -> &Path {
        &self.repository
    }

    /// A path beside the work tree.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a parent")).expect("mkdir");
        std::fs::write(path, text).expect("writes");
    }

    /// Commits everything.
    pub(crate) fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", "a commit"]);
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let status = self.command(arguments).status().expect("git runs");
        assert!(status.success(), "git {arguments:?}");
    }

    /// What a git command prints, without the final newline.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        self.ask_with(arguments, b"")
    }

    /// The same, with standard input.
    pub(crate) fn ask_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git runs");
        child.stdin.take().expect("is piped").write_all(input).expect("git reads");
        let output = child.wait_with_output().expect("git ends");
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).expect("git prints text").trim_end().to_owned()
    }

    /// A commit of a tree whose entries are `(mode, name, content)`, written byte by byte; a
    /// `040000` entry is a folder with one empty file of the content's name.
    pub(crate) fn commit_tree(&self, entries: &[(&str, &str, &str)]) -> CommitId {
        let mut tree = Vec::new();
        for (mode, name, content) in entries {
            let id = if *mode == "040000" {
                let blob = self.object("blob", b"");
                self.object("tree", &[format!("100644 {content}\0").as_bytes(), &raw(&blob)].concat())
            } else {
                self.object("blob", content.as_bytes())
            };
            tree.extend(format!("{}\0", [mode.trim_start_matches('0'), name].join(" ")).bytes());
            tree.extend(raw(&id));
        }
        let tree = self.object("tree", &tree);
        let author = "Test <test@example.org> 1700000000 +0000";
        let commit = format!("tree {tree}\nauthor {author}\ncommitter {author}\n\nhostile\n");
        self.object("commit", commit.as_bytes()).parse().expect("git prints ids")
    }

    fn object(&self, kind: &str, content: &[u8]) -> String {
        self.ask_with(&["hash-object", "-t", kind, "--literally", "-w", "--stdin"], content)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let git = crate::process::find_program("git").expect("git is installed");
        let mut command = crate::process::command(Path::new(&git), &[]);
        command.arg("-C").arg(self.path()).args(arguments);
        for person in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{person}_NAME"), "Test");
            command.env(format!("GIT_{person}_EMAIL"), "test@example.org");
        }
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }
}

fn raw(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("is hex");
    (0..hex.len()).step_by(2).map(digit).collect()
}
