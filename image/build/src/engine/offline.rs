//! Builds whose every `RUN` says `--network=none`: the whole engine runs without a network.
//!
//! buildah's chroot isolation cannot take the network away from a single step, and versions before
//! 1.29 do not parse the flag at all. Where no step wants a network, an empty network namespace
//! around the engine gives exactly what the Containerfile asks for; older versions then get a copy of
//! it without the flags. The image is the same either way.

use crate::containerfile::{Containerfile, Run};
use crate::process::command_with_fixed_umask;
use std::path::Path;
use std::process::Command;

/// Whether there is a `RUN`, and none that may use a network.
pub(super) fn applies(parsed: &Containerfile) -> bool {
    !parsed.runs.is_empty() && parsed.runs.iter().all(Run::is_offline)
}

/// The text without its `--network=none` flags; line numbers stay.
pub(super) fn without_flags(text: &str, parsed: &Containerfile) -> String {
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    for (_, span) in parsed.runs.iter().filter_map(|run| run.network.as_ref()) {
        out.push_str(&text[at..span.start]);
        at = span.end;
    }
    out.push_str(&text[at..]);
    out
}

/// The engine in an empty network namespace. Only root may make one at once; anybody else first
/// enters the user namespace in which buildah keeps its storage anyway.
///
/// With `own_memory`, what steps leave in /dev/shm, which chroot isolation shares with this machine, goes with them.
pub(super) fn command(program: &Path, environment: &[&str], own_memory: bool) -> Command {
    let unshare = Path::new("/usr/bin/unshare");
    let mut command = if nix::unistd::geteuid().is_root() {
        command_with_fixed_umask(unshare, environment)
    } else {
        let mut command = command_with_fixed_umask(program, environment);
        command.args(["unshare", "--"]).arg(unshare);
        command
    };
    command.arg("--net");
    if own_memory {
        command.args(["--mount", "--", "/bin/sh", "-c", OWN_MEMORY]);
    } else {
        command.arg("--");
    }
    command.arg(program);
    command
}

const OWN_MEMORY: &str = "{ test ! -d /dev/shm || mount -t tmpfs tmpfs /dev/shm; } && exec \"$0\" \"$@\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerfile::parse;

    #[test]
    fn only_builds_without_any_networked_step_are_offline() {
        for (text, expected) in [
            ("FROM a\n", false),
            ("FROM a\nRUN x\n", false),
            ("FROM a\nRUN --network=none x\n", true),
            ("FROM a\nRUN --network=none x\nRUN y\n", false),
            ("FROM a\nRUN --network=host x\n", false),
        ] {
            assert_eq!(applies(&parse(text)), expected, "{text}");
        }
    }

    #[test]
    fn flags_go_and_lines_stay() {
        let text =
            "FROM a\nRUN --network=none x \\\n --network=none\nRUN --mount=type=tmpfs --network=none y\n";
        let expected = "FROM a\nRUN  x \\\n --network=none\nRUN --mount=type=tmpfs  y\n";
        assert_eq!(without_flags(text, &parse(text)), expected);
    }
}
