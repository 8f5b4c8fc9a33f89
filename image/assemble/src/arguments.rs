//! What an engine cannot show the assembler: the image's configuration, as arguments in `Containerfile.eif`.

use caution_abi::boot_plan::{BootPlan, BootPlanError};
use std::fmt::Write as _;

/// What the assembler is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The root folder's attributes; engines choose them where no layer does.
    pub root: Root,
    /// The boot plan.
    pub plan: BootPlan,
}

/// Attributes of the root folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Why arguments are none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// The first is of another form.
    #[error("the first argument is not `--root=MODE,UID,GID`")]
    Root,
    /// Another one is of another form.
    #[error("argument {0} is not `--boot=…`")]
    Unknown(usize),
    /// The boot plan is none.
    #[error("the `--boot` arguments make no boot plan")]
    Plan(#[from] BootPlanError),
}

impl Arguments {
    /// The arguments, in order. The plan is cut into pieces, since engines and the kernel limit one argument.
    pub fn to_words(&self) -> Vec<String> {
        let Root { mode, uid, gid } = self.root;
        let mut words = vec![format!("{ROOT}{mode:04o},{uid},{gid}")];
        let plan = self.plan.to_bytes();
        let plan = String::from_utf8_lossy(&plan);
        let mut rest = &*plan;
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(rest.floor_char_boundary(PIECE));
            words.push(format!("{BOOT}{piece}"));
            rest = tail;
        }
        words
    }

    /// Reads them back.
    pub fn from_words(words: &[String]) -> Result<Self, ArgumentError> {
        let (first, pieces) = words.split_first().ok_or(ArgumentError::Root)?;
        let root = first.strip_prefix(ROOT).and_then(root).ok_or(ArgumentError::Root)?;
        let mut plan = String::new();
        for (number, piece) in (2..).zip(pieces) {
            plan.push_str(piece.strip_prefix(BOOT).ok_or(ArgumentError::Unknown(number))?);
        }
        Ok(Self { root, plan: BootPlan::from_bytes(plan.as_bytes())? })
    }

    /// The program and its arguments as `RUN` takes them without a shell: a JSON list, one word a line. Nothing
    /// but plain ASCII stands in it, and none of the characters that some reader of Containerfiles acts on.
    pub fn to_instruction(&self, program: &str, escape: char) -> String {
        let mut text = quoted(program);
        for word in self.to_words() {
            let _ = write!(text, ", {escape}\n  {}", quoted(&word));
        }
        format!("[{text}]")
    }
}

fn root(text: &str) -> Option<Root> {
    match text.split(',').collect::<Vec<_>>()[..] {
        [mode, uid, gid] => {
            let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777)?;
            Some(Root { mode, uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        }
        _ => None,
    }
}

fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            ' '..='~' if !matches!(c, '\\' | '<' | '$' | '`' | '#') => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
    text
}

const ROOT: &str = "--root=";
const BOOT: &str = "--boot=";
/// Bytes of the plan in one argument: at six bytes a character its line stays below the 64 KiB that readers of
/// Containerfiles take, and the argument far below the kernel's 128 KiB.
const PIECE: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use caution_abi::boot_plan::{App, Readiness, Restart, RestartPolicy};
    use std::collections::BTreeMap;

    fn arguments(word: &str) -> Arguments {
        let app = App {
            argv: vec!["/app".into(), word.into()],
            env: BTreeMap::new(),
            cwd: "/".into(),
            uid: 0,
            gid: 0,
            groups: vec![0],
        };
        let plan = BootPlan {
            version: BootPlan::VERSION,
            app,
            ports: Vec::new(),
            http_port: None,
            egress: Vec::new(),
            e2e: None,
            readiness: Readiness::Started,
            restart: Restart {
                policy: RestartPolicy::Never,
                max_restarts: 0,
                backoff_ms: 0,
                backoff_max_ms: 0,
            },
            logs: false,
        };
        Arguments { root: Root { mode: 0o1755, uid: 3, gid: 4 }, plan }
    }

    #[test]
    fn any_plan_comes_back_from_words_and_from_an_instruction() {
        for word in ["", "é\u{1f600}`$HOME <<EOF # \\ \"x\"\n", &"ü".repeat(20_000)] {
            let arguments = arguments(word);
            assert_eq!(Arguments::from_words(&arguments.to_words()).expect("reads back"), arguments);
            let text = arguments.to_instruction("/caution-assemble", '\\');
            assert!(text.is_ascii() && !text.contains(['<', '$', '`', '#']), "{text}");
            assert!(text.lines().all(|line| line.len() < 60_000));
            let list: Vec<String> =
                serde_json::from_str(&text.replace("\\\n", "\n")).expect("is a list of words");
            assert_eq!((list[0].as_str(), &list[1..]), ("/caution-assemble", &arguments.to_words()[..]));
        }
    }

    #[test]
    fn other_words_are_refused() {
        let good = arguments("x").to_words();
        let from = |at: usize, word: &str| {
            let mut words = good.clone();
            words[at] = word.into();
            Arguments::from_words(&words)
        };
        for bad in ["", "--root=", "--root=0755,0", "--root=10000,0,0", "--root=0755,0,0,0"] {
            assert!(matches!(from(0, bad), Err(ArgumentError::Root)), "{bad}");
        }
        assert!(matches!(from(1, "--debug"), Err(ArgumentError::Unknown(2))));
        assert!(matches!(from(1, "--boot={}"), Err(ArgumentError::Plan(_))));
        assert!(matches!(Arguments::from_words(&[]), Err(ArgumentError::Root)));
    }
}
