//! A child's output as lines while it runs.

use super::LineSink;
use caution_appspec::{excerpt, printable};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};

/// How a child ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Its last lines, standard output and error as they came.
    pub(super) last: Vec<String>,
    /// The last line that began a step.
    pub(super) step: Option<String>,
}

/// Runs a command and hands every line of its output to `sink`, control characters escaped.
pub(super) fn run(mut command: Command, sink: &mut LineSink<'_>) -> std::io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (sender, lines) = sync_channel::<String>(64);
    let out = child.stdout.take().map(|out| reader(out, sender.clone()));
    let err = child.stderr.take().map(|err| reader(err, sender.clone()));
    drop(sender);
    let (mut last, mut step) = (VecDeque::new(), None);
    for line in lines {
        sink(&line);
        if let Some(begun) = begun_step(&line) {
            step = Some(excerpt(begun, 120));
            last.clear();
        } else if !line.trim().is_empty() {
            last.push_back(excerpt(&line, 300));
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
    }
    for thread in [out, err].into_iter().flatten() {
        thread?.join().map_err(|_| std::io::Error::other("a reader of the engine's output ended early"))?;
    }
    Ok(Ended { status: child.wait()?, last: last.into(), step })
}

fn reader(
    from: impl Read + Send + 'static,
    sender: SyncSender<String>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("engine output".into()).spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A broken pipe ends the stream; how the child ended says the rest.
            match from.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            // Progress bars overwrite their line: what counts is its last state.
            let text = text.trim_end_matches(['\n', '\r']);
            let text = text.rsplit('\r').next().unwrap_or_default();
            if sender.send(printable(&without_colour(text).replace('\t', "    "))).is_err() {
                return;
            }
        }
    })
}

/// Drops ANSI colour sequences (`ESC [ … letter`), which compilers print.
fn without_colour(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ';' | '?'));
        rest = rest.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest);
    }
    out.push_str(rest);
    out
}

/// The step in a line that begins one: `STEP 2/5: …` and `[1/2] STEP 2/5: …`, as buildah prints them, and
/// ` > [build 2/4] RUN …:`, under which BuildKit repeats what the step that failed had printed. While they
/// run, its steps are mixed.
fn begun_step(line: &str) -> Option<&str> {
    if let Some(failed) = line.strip_prefix(" > [") {
        return failed.contains("] ").then(|| line[3..].trim_end_matches(':'));
    }
    let bare = match line.split_once("] ") {
        Some((stage, rest)) if stage.starts_with('[') => rest,
        _ => line,
    };
    let numbered =
        bare.strip_prefix("STEP ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered.then_some(line)
}

const LAST_LINES: usize = 20;
/// A longer line is cut into several.
const MAX_LINE_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn shell(script: &str) -> (Ended, Vec<String>) {
        let mut command = crate::process::command(Path::new("/bin/sh"), &[]);
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let ended = run(command, &mut |line| lines.push(line.to_owned())).expect("runs");
        (ended, lines)
    }

    #[test]
    fn lines_stream_and_the_last_step_is_kept() {
        let (ended, lines) = shell(
            "echo '[1/2] STEP 1/2: FROM a'; echo pulled; echo '[1/2] STEP 2/2: RUN x'; \
             printf '\\033[31mred\\033[0m\\007\\n'; printf '10%%\\r\\t99%%\\n'; exit 3",
        );
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(ended.step.as_deref(), Some("[1/2] STEP 2/2: RUN x"));
        assert_eq!(ended.last, ["red\\u{7}", "    99%"]);
        assert_eq!(lines.len(), 5);
    }

    /// Recorded from docker 26.1 with BuildKit; a step that was fine is running beside the one that fails.
    #[test]
    fn the_step_that_failed_under_buildkit_is_the_one_it_repeats() {
        let (ended, _) = shell(
            "cat <<'END'; exit 1
#6 [2/3] COPY . /ctx
#6 DONE 0.0s

#7 [3/3] RUN --network=none echo hi; false
#7 0.223 hi
#7 ERROR: process \"/bin/sh -c echo hi; false\" did not complete successfully: exit code: 1
------
 > [3/3] RUN --network=none echo hi; false:
0.223 hi
------
Containerfile:3
--------------------
   3 | >>> RUN --network=none echo hi; false
--------------------
ERROR: failed to solve: process \"/bin/sh -c echo hi; false\" did not complete successfully: exit code: 1
END
",
        );
        assert_eq!(ended.step.as_deref(), Some("[3/3] RUN --network=none echo hi; false"));
        assert_eq!(ended.last.first().map(String::as_str), Some("0.223 hi"));
        assert!(ended.last.last().is_some_and(|line| line.starts_with("ERROR: failed to solve")));
    }

    #[test]
    fn only_the_last_lines_are_kept_and_both_streams_are_read() {
        let (ended, lines) = shell("i=0; while [ $i -lt 500 ]; do echo $i >&2; i=$((i+1)); done; echo out");
        assert!(ended.status.success() && ended.step.is_none());
        assert_eq!(lines.len(), 501);
        assert_eq!(ended.last.len(), LAST_LINES);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (_, lines) = shell("head -c 200000 /dev/zero | tr '\\0' x");
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [65536, 65536, 65536, 3392]);
    }
}
