//! Just enough of the shell's language to see which programs a `RUN` starts, with which words.
//!
//! Flat on purpose: commands inside `$(…)`, groups and conditions are commands like others. Nothing is expanded.

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// One-based line of its first word.
    pub(super) line: usize,
    /// Program and arguments, without quotes; assignments in front of the program are left out.
    pub(super) words: Vec<String>,
    /// Whether it reads what the command before it writes.
    pub(super) piped: bool,
}

impl Command {
    /// The program's name without its folder.
    pub(super) fn program(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }

    pub(super) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    pub(super) fn has(&self, argument: &str) -> bool {
        self.arguments().iter().any(|word| word == argument)
    }

    /// The first argument that is no option: `install` of `apt-get -y install`.
    pub(super) fn verb(&self) -> &str {
        self.plain().next().unwrap_or("")
    }

    /// What stands behind the verb and is no option.
    pub(super) fn operands(&self) -> impl Iterator<Item = &str> {
        self.plain().skip(1)
    }

    /// The arguments that are neither options nor values of those that take one as a word of its own.
    fn plain(&self) -> impl Iterator<Item = &str> {
        let mut is_value = false;
        self.arguments().iter().map(String::as_str).filter(move |word| {
            let skipped = std::mem::replace(&mut is_value, WITH_VALUE.contains(word));
            !skipped && !word.starts_with('-')
        })
    }
}

/// The commands of a script, in the order in which their first words stand.
pub(super) fn commands(script: &[(usize, String)]) -> Vec<Command> {
    if let [(line, text)] = script
        && let Ok(words) = serde_json::from_str::<Vec<String>>(text)
    {
        return finished(vec![Command { line: *line, words, piped: false }]);
    }
    let mut lexer = Lexer::default();
    for (line, text) in script {
        lexer.line = *line;
        let continued = text.strip_suffix('\\');
        lexer.read(continued.unwrap_or(text));
        match (continued, lexer.quote) {
            (Some(_), _) => lexer.end_word(),
            (None, Quote::None) => lexer.end_command(false),
            (None, _) => lexer.push('\n'),
        }
    }
    lexer.end_command(false);
    finished(lexer.commands)
}

/// Without what stands in front of programs, and without where their output goes; heredocs' own words are no commands.
fn finished(commands: Vec<Command>) -> Vec<Command> {
    let strip = |mut command: Command| {
        let is_prefix = |word: &String| PREFIXES.contains(&word.as_str()) || is_assignment(word);
        let before = command.words.iter().take_while(|word| is_prefix(word)).count();
        command.words.drain(..before);
        drop_output(&mut command.words);
        command.words.first().is_some_and(|word| !word.starts_with("<<")).then_some(command)
    };
    commands.into_iter().filter_map(strip).collect()
}

/// Takes `> FILE`, `2>&1` and the like out.
fn drop_output(words: &mut Vec<String>) {
    let mut file_follows = false;
    words.retain(|word| {
        let is_file = std::mem::take(&mut file_follows);
        let redirects = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&').starts_with('>');
        file_follows = redirects && word.ends_with('>');
        !is_file && !redirects
    });
}

fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// Words of the shell, and programs that run what follows.
const PREFIXES: [&str; 14] =
    ["!", "{", "}", "do", "else", "elif", "env", "exec", "if", "nice", "sudo", "then", "time", "while"];

/// Options of package managers, git, go and make that take the next word.
const WITH_VALUE: [&str; 9] =
    ["-C", "-X", "-c", "-o", "-t", "--prefix", "--repository", "--root", "--target-release"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Quote {
    #[default]
    None,
    Single,
    Double,
}

#[derive(Default)]
struct Lexer {
    commands: Vec<Command>,
    words: Vec<String>,
    word: String,
    in_word: bool,
    line: usize,
    first_line: usize,
    piped: bool,
    quote: Quote,
    /// Quotes around each open `$(` and back quote.
    open: Vec<(char, Quote)>,
}

impl Lexer {
    fn read(&mut self, text: &str) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (self.quote, c) {
                (Quote::Single, '\'') | (Quote::Double, '"') => self.quote = Quote::None,
                (Quote::Single, c) => self.push(c),
                (_, '\\') => {
                    if let Some(escaped) = chars.next() {
                        self.push(escaped);
                    }
                }
                (_, '$') if chars.peek() == Some(&'(') => {
                    chars.next();
                    self.open(')');
                }
                (_, '`') => {
                    if self.open.last().is_some_and(|(close, _)| *close == '`') {
                        self.close();
                    } else {
                        self.open('`');
                    }
                }
                (Quote::None, '\'') => self.begin(Quote::Single),
                (Quote::None, '"') => self.begin(Quote::Double),
                (Quote::None, ')') => self.close(),
                (Quote::None, '#') if !self.in_word => break,
                (Quote::None, '(' | ';') => self.end_command(false),
                (Quote::None, '&') => {
                    // `2>&1` and `&>` are no ends.
                    if self.word.ends_with(['>', '<']) || chars.peek() == Some(&'>') {
                        self.push(c);
                    } else {
                        self.end_command(false);
                    }
                }
                (Quote::None, '|') => {
                    let is_or = chars.next_if_eq(&'|').is_some();
                    self.end_command(!is_or);
                }
                (Quote::None, c) if c.is_whitespace() => self.end_word(),
                (Quote::None | Quote::Double, c) => self.push(c),
            }
        }
    }

    fn push(&mut self, c: char) {
        self.in_word = true;
        self.word.push(c);
    }

    fn begin(&mut self, quote: Quote) {
        self.in_word = true;
        self.quote = quote;
    }

    fn open(&mut self, close: char) {
        self.open.push((close, self.quote));
        self.quote = Quote::None;
        self.end_command(false);
    }

    fn close(&mut self) {
        self.end_command(false);
        if let Some((_, quote)) = self.open.pop() {
            self.quote = quote;
        }
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.in_word) {
            if self.words.is_empty() {
                self.first_line = self.line;
            }
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// `to_next`: its output goes to the command that follows.
    fn end_command(&mut self, to_next: bool) {
        self.end_word();
        if !self.words.is_empty() {
            let words = std::mem::take(&mut self.words);
            let piped = std::mem::replace(&mut self.piped, to_next);
            self.commands.push(Command { line: self.first_line, words, piped });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(usize, String, bool)> {
        let script = crate::containerfile::parse(text).runs.remove(0).script;
        commands(&script).into_iter().map(|c| (c.line, c.words.join("·"), c.piped)).collect()
    }

    fn on(line: usize, words: &str, piped: bool) -> (usize, String, bool) {
        (line, words.to_owned(), piped)
    }

    #[test]
    fn programs_are_found_behind_every_operator() {
        let found =
            words("RUN --network=none A=1 curl -fsSL 'x y' \\\n  # comment\n  | sudo sh -s; a&&b 2>&1||c\n");
        let expected = [
            on(1, "curl·-fsSL·x y", false),
            on(3, "sh·-s", true),
            on(3, "a", false),
            on(3, "b", false),
            on(3, "c", false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn substitutions_are_commands_even_in_double_quotes_and_never_in_single_ones() {
        let found = words("RUN echo \"built $(date -u) by `whoami`\" '$(hostname)' \"a;b\"\n");
        let words: Vec<&str> = found.iter().map(|(_, words, _)| words.as_str()).collect();
        assert_eq!(words, ["echo·built ", "date·-u", " by ", "whoami", "$(hostname)·a;b"]);
    }

    #[test]
    fn lines_of_heredocs_are_commands_of_their_own() {
        let found =
            words("FROM x\nRUN <<EOF\nset -e\nfor f in *; do date >$f\ndone\nmake \\\n -j4\nEOF\nRUN x\n");
        let words: Vec<(usize, &str)> =
            found.iter().map(|(line, words, _)| (*line, words.as_str())).collect();
        assert_eq!(words, [(3, "set·-e"), (4, "for·f·in·*"), (4, "date"), (5, "done"), (6, "make·-j4")]);
    }

    #[test]
    fn the_form_without_a_shell_is_one_command() {
        assert_eq!(
            words("RUN [\"/usr/bin/pip\", \"install\", \"a; b\"]\n"),
            [on(1, "/usr/bin/pip·install·a; b", false)]
        );
        assert_eq!(commands(&[(1, "[not json".into())])[0].program(), "[not");
    }

    #[test]
    fn nothing_is_read_beyond_what_is_there() {
        for text in ["", "\\", "'", "\"$(", "`", ")", ")))|", "&&", "| |"] {
            commands(&[(1, text.into()), (2, text.into())]);
        }
    }
}
