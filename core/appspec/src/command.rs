//! The `run` line: environment prefix, words, and whether it takes a shell.
//!
//! The rule is written in `specs/appspec.md` §5; [`parse`] is its code.

use crate::Command;
use crate::problem::{Checked, Fault, shown};
use std::collections::BTreeMap;

/// What a command line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The leading `KEY=value` words; empty where a shell reads them itself.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) command: Command,
}

/// Reads a command line.
pub(crate) fn parse(line: &str) -> Checked<Line> {
    let line = line.trim();
    if line.is_empty() {
        return Err(Fault::new("is empty").fix("name the program, for example /app/server"));
    }
    let shell = || Line { env: BTreeMap::new(), command: Command::Shell(line.to_owned()) };
    let Some(mut words) = split(line)? else { return Ok(shell()) };

    let prefix = words.iter().take_while(|word| word.assignment.is_some()).count();
    let mut argv = words.split_off(prefix);
    // The program becomes the app's process with or without it.
    if argv.len() > 1 && argv[0].is_bare("exec") && !argv[1].text.starts_with('-') {
        argv.remove(0);
    }
    match argv.first() {
        None => {
            return Err(Fault::new("sets variables but names no program")
                .fix("add the program after them, for example `PORT=8080 /app/server`"));
        }
        Some(program) if program.text.is_empty() => {
            return Err(Fault::new("names an empty program"));
        }
        Some(program) if program.bare && SHELL_WORDS.contains(&program.text.as_str()) => return Ok(shell()),
        Some(_) => {}
    }
    let env = words.into_iter().filter_map(Word::into_assignment).collect();
    Ok(Line { env, command: Command::Argv(argv.into_iter().map(|word| word.text).collect()) })
}

/// Words as one line that means exactly these words again, quoted only where needed.
pub fn shell_join<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// One word, in single quotes unless it is plain.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    let bare = !word.is_empty() && word.chars().all(plain) && !SHELL_WORDS.contains(&word);
    if bare { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

struct Word {
    text: String,
    /// Where the `=` of a leading `KEY=` stands in `text`.
    assignment: Option<usize>,
    /// No character was quoted.
    bare: bool,
}

impl Word {
    fn is_bare(&self, text: &str) -> bool {
        self.bare && self.text == text
    }

    fn into_assignment(self) -> Option<(String, String)> {
        let (key, value) = self.text.split_at(self.assignment?);
        Some((key.to_owned(), value.get(1..)?.to_owned()))
    }
}

/// Splits by the quoting rules of the POSIX shell (IEEE Std 1003.1, Shell Command Language, 2.2);
/// `None` when an unquoted character asks for a shell.
fn split(line: &str) -> Checked<Option<Vec<Word>>> {
    let mut words = Vec::new();
    let mut current: Option<Word> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '#' && current.is_none() {
            break;
        }
        if c == ' ' || c == '\t' {
            words.extend(current.take());
            continue;
        }
        if SHELL_CHARACTERS.contains(c) {
            return Ok(None);
        }
        let word = current.get_or_insert_with(|| Word { text: String::new(), assignment: None, bare: true });
        match c {
            '\\' => {
                word.bare = false;
                let escaped = chars.next().ok_or_else(|| Fault::new("ends in a backslash"))?;
                word.text.push(escaped);
            }
            '\'' => {
                word.bare = false;
                single_quoted(&mut chars, &mut word.text)?;
            }
            '"' => {
                word.bare = false;
                if !double_quoted(&mut chars, &mut word.text)? {
                    return Ok(None);
                }
            }
            '=' if word.bare && word.assignment.is_none() && is_name(&word.text) => {
                word.assignment = Some(word.text.len());
                word.text.push(c);
            }
            _ => word.text.push(c),
        }
    }
    words.extend(current);
    if words.is_empty() {
        return Err(Fault::new("holds only a comment").fix("name the program, for example /app/server"));
    }
    Ok(Some(words))
}

fn single_quoted(chars: &mut std::str::Chars<'_>, out: &mut String) -> Checked<()> {
    let rest = chars.as_str();
    let end = rest.find('\'').ok_or_else(|| unclosed('\'', rest))?;
    out.push_str(&rest[..end]);
    *chars = rest[end + 1..].chars();
    Ok(())
}

/// `false` when the quotes hold an expansion.
fn double_quoted(chars: &mut std::str::Chars<'_>, out: &mut String) -> Checked<bool> {
    let rest = chars.as_str();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(true),
            '$' | '`' => return Ok(false),
            '\\' => match chars.next() {
                Some(escaped @ ('$' | '`' | '"' | '\\')) => out.push(escaped),
                // A backslash before a line end continues the line.
                Some('\n') => {}
                Some(other) => out.extend(['\\', other]),
                None => break,
            },
            _ => out.push(c),
        }
    }
    Err(unclosed('"', rest))
}

fn unclosed(quote: char, rest: &str) -> Fault {
    Fault::new(format!("opens a quote `{quote}{}` and never closes it", shown(rest)))
}

/// Whether a shell takes this for a variable's name.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Unquoted, each of these means something to a shell.
const SHELL_CHARACTERS: &str = "|&;<>()$`*?[]{}~!\n\r";

/// First words that only a shell can run: POSIX special and intrinsic built-ins without a program
/// of that name, and reserved words.
const SHELL_WORDS: &[&str] = &[
    ".", ":", "alias", "bg", "break", "case", "cd", "command", "continue", "do", "done", "elif", "else",
    "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for", "function", "getopts", "hash", "if",
    "in", "jobs", "local", "read", "readonly", "return", "set", "shift", "source", "then", "times", "trap",
    "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn argv(words: &[&str]) -> Command {
        Command::Argv(words.iter().map(|w| (*w).to_owned()).collect())
    }

    #[test]
    fn words_quotes_and_environment() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
        let cases: &[Case<'_>] = &[
            ("/app/server", &[], &["/app/server"]),
            ("  server  --port\t8080 ", &[], &["server", "--port", "8080"]),
            ("A=1 B='x y' server", &[("A", "1"), ("B", "x y")], &["server"]),
            ("A= server", &[("A", "")], &["server"]),
            ("A=1 A=2 server", &[("A", "2")], &["server"]),
            ("server A=1", &[], &["server", "A=1"]),
            ("'A'=1 x", &[], &["A=1", "x"]),
            ("1A=1", &[], &["1A=1"]),
            (r#"server "a b" 'c "d"' e\ f """#, &[], &["server", "a b", "c \"d\"", "e f", ""]),
            (
                r#"server "\$HOME \" \\ \n" '$HOME' \$HOME"#,
                &[],
                &["server", "$HOME \" \\ \\n", "$HOME", "$HOME"],
            ),
            ("server # a comment", &[], &["server"]),
            ("server a#b", &[], &["server", "a#b"]),
            ("exec server -v", &[], &["server", "-v"]),
            ("A=1 exec server", &[("A", "1")], &["server"]),
            ("'cd' /tmp", &[], &["cd", "/tmp"]),
        ];
        for (line, env, words) in cases {
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(parse(line), Ok(Line { env, command: argv(words) }), "{line}");
        }
    }

    #[test]
    fn shell_syntax_keeps_the_whole_line() {
        for line in [
            "a | b",
            "a && b",
            "a &",
            "a; b",
            "a < f",
            "a > f",
            "(a)",
            "echo $HOME",
            "a `b`",
            "ls *",
            "ls ?",
            "ls [a]",
            "a ~/x",
            "{ a; }",
            "! a",
            "a \"$HOME\"",
            "a \"`b`\"",
            "A=$B server",
            "cd /app",
            "export A=1",
            "exec",
            "exec -a name server",
            "A=1 . ./env",
            "a \n b",
        ] {
            let expected = Line { env: BTreeMap::new(), command: Command::Shell(line.to_owned()) };
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_command() {
        for (line, start) in [
            ("", "is empty"),
            (" \t", "is empty"),
            ("A=1 B=2", "sets variables but names no program"),
            ("''", "names an empty program"),
            ("# server", "holds only a comment"),
            ("server \\", "ends in a backslash"),
            ("server 'a b", "opens a quote `'a b` and never closes it"),
            ("server \"a b", "opens a quote `\"a b` and never closes it"),
        ] {
            assert!(parse(line).unwrap_err().predicate.starts_with(start), "{line}");
        }
    }

    proptest! {
        #[test]
        fn joined_words_read_back(words in proptest::collection::vec("(\\PC|\n|'){0,8}", 1..6)) {
            prop_assume!(!words[0].is_empty());
            let line = shell_join(&words);
            prop_assert_eq!(shlex::split(&line), Some(words.clone()));
            let parsed = parse(&line).unwrap();
            prop_assert!(parsed.env.is_empty());
            prop_assert_eq!(parsed.command, Command::Argv(words));
        }

        #[test]
        fn plain_lines_split_as_shlex_splits(line in "[a-z \t'\"\\\\#=-]{1,24}") {
            if let Ok(Some(words)) = split(&line) {
                let words: Vec<String> = words.into_iter().map(|w| w.text).collect();
                prop_assert_eq!(shlex::split(&line), Some(words));
            }
        }
    }
}
