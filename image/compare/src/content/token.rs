//! A line as words, moments, paths and identifiers.

use super::moment::{self, Moment};

/// One piece of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    /// Where in the line it begins, in bytes.
    pub(super) at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TokenKind {
    /// A date, a time of day or both.
    Moment(Moment),
    /// 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// `user@host`.
    Account,
    /// An absolute path of two or more parts.
    Path,
    /// Letters and digits, with dots, dashes and underscores between them.
    Word,
    /// A run of spaces.
    Space,
    /// One other character.
    Other,
}

impl TokenKind {
    /// Whether two pieces are of the same kind, whatever their values.
    pub(super) fn is_alike(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// The pieces of a line; together they are the line. In compiled files strings follow each other without a gap:
/// there a path also begins where a usual place of builds is named (`compiled`).
pub(super) fn tokens(line: &str, compiled: bool) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let previous = line[..at].chars().next_back();
        let (kind, length) = first(rest, previous, compiled);
        tokens.push(Token { kind, text: &rest[..length], at });
        at += length;
    }
    tokens
}

fn first(rest: &str, previous: Option<char>, compiled: bool) -> (TokenKind, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    if first == ' ' || first == '\t' {
        return (TokenKind::Space, rest.len() - rest.trim_start_matches([' ', '\t']).len());
    }
    let begins_word = !previous.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if begins_word {
        if (first.is_ascii_digit() || first.is_alphabetic())
            && let Some((length, moment)) = moment::at_start(rest)
        {
            return (TokenKind::Moment(moment), length);
        }
        if is_uuid(rest) {
            return (TokenKind::Uuid, UUID_LENGTH);
        }
    }
    if first == '/'
        && previous.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '/' | '.' | '_' | '-' | '~'))
        && let Some(length) = path_length(rest)
    {
        return (TokenKind::Path, length);
    }
    if first.is_alphanumeric() || first == '_' {
        // `-I/tmp/x`: the letter belongs to the option.
        if previous == Some('-') && matches!(rest.as_bytes(), [b'I' | b'L', b'/', ..]) {
            return (TokenKind::Other, 1);
        }
        let length = word_length(rest);
        if let Some(host) = rest[length..].strip_prefix('@')
            && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return (TokenKind::Account, length + 1 + word_length(host));
        }
        return (TokenKind::Word, length);
    }
    // After an option's letter the path follows at once.
    let follows = || {
        previous.is_some_and(|c| matches!(c, 'I' | 'L'))
            || (compiled && ROOTS.iter().any(|root| rest.starts_with(root)))
    };
    if first == '/'
        && let Some(length) = path_length(rest)
        && follows()
    {
        return (TokenKind::Path, length);
    }
    // Slashes that begin no path are one piece: they are not looked at one by one.
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    (TokenKind::Other, first.len_utf8().max(slashes))
}

fn word_length(text: &str) -> usize {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | '~')))
        .unwrap_or(text.len());
    // Punctuation at the end is the sentence's.
    text[..end].trim_end_matches(['.', '-', '+', '~']).len()
}

fn path_length(text: &str) -> Option<usize> {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | '+' | '~' | '@' | '%')))
        .unwrap_or(text.len());
    let path = text[..end].trim_end_matches(['.', '-', '+', '~']);
    let parts = path.split('/').filter(|part| !part.is_empty()).count();
    (parts >= 2).then_some(path.len())
}

/// Whether the text begins with a UUID that stands alone.
pub(super) fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= UUID_LENGTH
        && bytes[..UUID_LENGTH].iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
        && !bytes.get(UUID_LENGTH).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

const UUID_LENGTH: usize = 36;
const ROOTS: [&str; 7] = ["/tmp/", "/home/", "/root/", "/build", "/src/", "/work", "/usr/src/"];

#[cfg(test)]
mod tests {
    use super::{TokenKind, tokens};

    #[test]
    fn a_line_is_its_tokens() {
        let line = "built 2026-11-20 08:01:59 by joe@vm-1 in /tmp/a/b.c (v1.2-3) 6f1c1c5e-0b3f-4f0e-9d3b-0a1b2c3d4e5f -I/x/y é.";
        let found = tokens(line, false);
        assert_eq!(found.iter().map(|token| token.text).collect::<String>(), line);
        let kinds = |wanted: fn(TokenKind) -> bool| {
            found.iter().filter(|token| wanted(token.kind)).map(|token| token.text).collect::<Vec<_>>()
        };
        assert_eq!(kinds(|kind| matches!(kind, TokenKind::Moment(_))), ["2026-11-20 08:01:59"]);
        assert_eq!(kinds(|kind| kind == TokenKind::Account), ["joe@vm-1"]);
        assert_eq!(kinds(|kind| kind == TokenKind::Path), ["/tmp/a/b.c", "/x/y"]);
        assert_eq!(kinds(|kind| kind == TokenKind::Uuid).len(), 1);
    }
}
